"""Writes text.json: what Hugging Face's own tokenizer and chat templates make of texts and conversations.

Needs transformers (made with transformers 5.18, tokenizers as it asks for). Run from any folder:
    python test/golden/llm/make_text.py
The tokenizers are that of models/tiny-shakespeare-llama (byte-level BPE) and a small one in the manner of Llama 2, whose
characters outside the vocabulary become bytes. The templates are the usual ones of ChatML, Llama 3 and Mistral, shortened.
"""

import json
import pathlib

from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

HERE = pathlib.Path(__file__).parent
MODEL = HERE.parents[2] / "models" / "tiny-shakespeare-llama"

TEXTS = [
    "First Citizen:\nBefore we proceed any further, hear me speak.\n\nAll:\nSpeak, speak.\n",
    " two  spaces,   three; a tab\there\r\nand 'tis I'll we've don't",
    "1234567890 (x) [y] \"quoted\" #!?",
    "na\u00efve caf\u00e9 \u20ac 5 \U0001f99c\U0001f99c \u65e5\u672c\u8a9e e\u0301 \u200b\u00a0.",
    "a<|eos|><|bos|> b <|bos|>c",
    "   ",
]

CHATML = (
    "{%- for message in messages %}\n"
    "    {{- '<|im_start|>' + message.role + '\\n' + message.content | trim + '<|im_end|>' + '\\n' }}\n"
    "{%- endfor %}\n"
    "{%- if add_generation_prompt %}\n"
    "    {{- '<|im_start|>assistant\\n' }}\n"
    "    {%- if enable_thinking is defined and enable_thinking is false %}\n"
    "        {{- '<think>\\n\\n</think>\\n\\n' }}\n"
    "    {%- endif %}\n"
    "{%- endif %}"
)
LLAMA3 = (
    "{% set loop_messages = messages %}{% for message in loop_messages %}"
    "{% set content = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' + message['content'] | trim + '<|eot_id|>' %}"
    "{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
MISTRAL = (
    "{%- if messages[0]['role'] == 'system' %}{%- set system = messages[0]['content'] %}{%- set messages = messages[1:] %}{%- endif %}"
    "{{- bos_token }}"
    "{%- for message in messages %}"
    "{%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{- raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{%- endif %}"
    "{%- if message['role'] == 'user' %}"
    "{%- if loop.last and system is defined %}{{- '[INST] ' + system + '\\n\\n' + message['content'] + '[/INST]' }}"
    "{%- else %}{{- '[INST] ' + message['content'] + '[/INST]' }}{%- endif %}"
    "{%- else %}{{- ' ' + message['content'] + eos_token }}{%- endif %}{%- endfor %}"
)
CONVERSATIONS = [
    [{"role": "user", "content": "  Who is there?\n"}],
    [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi <b>&\"'"}]
    + [{"role": "assistant", "content": "Hello.\n\nThere."}, {"role": "user", "content": "Bye \U0001f99c"}],
]


def llama2_like():
    """Words of a few letters; every other character is its bytes."""
    pieces = ["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256)]
    merges = [("\u2581", "t"), ("h", "e"), ("\u2581t", "he"), ("c", "a"), ("ca", "t"), ("\u2581", "cat")]
    pieces += ["\u2581", *"thecats"[:6], "s"] + ["".join(pair) for pair in merges]
    vocab = {piece: i for i, piece in enumerate(dict.fromkeys(pieces))}
    added = [
        {"id": i, "content": content, "special": True}
        | {key: False for key in ("single_word", "lstrip", "rstrip", "normalized")}
        for i, content in enumerate(("<unk>", "<s>", "</s>"))
    ]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": {
            "type": "Sequence",
            "normalizers": [
                {"type": "Prepend", "prepend": "\u2581"},
                {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"},
            ],
        },
        "pre_tokenizer": None,
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}},
        },
        "decoder": {
            "type": "Sequence",
            "decoders": [
                {"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "},
                {"type": "ByteFallback"},
                {"type": "Fuse"},
                {"type": "Strip", "content": " ", "start": 1, "stop": 0},
            ],
        },
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": "<unk>",
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": True,
            "byte_fallback": True,
            "ignore_merges": False,
            "vocab": vocab,
            "merges": [" ".join(pair) for pair in merges],
        },
    }


def cases(tokenizer):
    found = []
    for text in TEXTS + ["the cats", " the", "cat\n"]:
        ids = tokenizer.encode(text).ids
        plain = tokenizer.encode(text, add_special_tokens=False).ids
        found.append({"text": text, "ids": ids, "plain_ids": plain})
        found[-1] |= {"decoded": tokenizer.decode(ids), "with_special": tokenizer.decode(ids, skip_special_tokens=False)}
    return found


def chats(template):
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_file(str(MODEL / "tokenizer.json")))
    tokenizer.bos_token, tokenizer.eos_token = "<|bos|>", "<|eos|>"
    render = lambda messages, **options: tokenizer.apply_chat_template(
        messages, chat_template=template, tokenize=False, **options
    )
    return [
        {
            "messages": messages,
            "prompt": render(messages, add_generation_prompt=True),
            "text": render(messages, add_generation_prompt=False),
            "without_thinking": render(messages, add_generation_prompt=True, enable_thinking=False),
        }
        for messages in CONVERSATIONS
    ]


small = llama2_like()
result = {
    "tiny-shakespeare": cases(Tokenizer.from_file(str(MODEL / "tokenizer.json"))),
    "llama2-like": {"tokenizer": small, "cases": cases(Tokenizer.from_str(json.dumps(small)))},
    "templates": {
        name: {"template": template, "cases": chats(template)}
        for name, template in (("chatml", CHATML), ("llama3", LLAMA3), ("mistral", MISTRAL))
    },
}
(HERE / "text.json").write_text(json.dumps(result, indent=1) + "\n")
