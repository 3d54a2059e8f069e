/** Text to tokens and back: tokenizer.json of a model folder, read by @huggingface/tokenizers. */
import type { Tokenizer } from '@huggingface/tokenizers';
import { isJsonObject, parseStrictJson } from '../adapter/formats/strict-json.js';
import { fail } from '../checks.js';
import { LorakeetError } from '../errors.js';
import type { ModelFolder } from './model-folder.js';
import { TokenStream } from './token-stream.js';

export interface EncodeOptions {
  /** Put the special tokens in front of and behind the text that the model expects there. Default true. */
  addSpecialTokens?: boolean;
}

export interface DecodeOptions {
  /** Leave special tokens out of the text. Default true. */
  skipSpecialTokens?: boolean;
}

type Library = typeof import('@huggingface/tokenizers');

export const TOKENIZER_CONFIG_FILE = 'tokenizer_config.json';
const TOKENIZER_FILE = 'tokenizer.json';
/** Vocabularies of 250,000 tokens with their merges take about 20 MB. */
const MAX_TOKENIZER_BYTES = 2 ** 26;
export const MAX_TOKENIZER_CONFIG_BYTES = 2 ** 22;

export class TextTokenizer {
  readonly #tokenizer: Tokenizer;
  readonly #vocabSize: number;

  /** Use openTokenizer. `vocabSize` is the model's. */
  constructor(tokenizer: Tokenizer, vocabSize: number) {
    this.#tokenizer = tokenizer;
    this.#vocabSize = vocabSize;
  }

  /**
   * The tokens of a text. Names of special tokens in the text become those tokens: look for them (specialTokens) in text of
   * others. Throws ERR_INVALID_ARGUMENT, ERR_OUT_OF_RANGE for a token that the model has no embedding for.
   */
  encode(text: string, { addSpecialTokens = true }: EncodeOptions = {}): Uint32Array {
    if (typeof text !== 'string') fail('ERR_INVALID_ARGUMENT', 'text', text, 'a string');
    const { ids, tokens } = this.#tokenizer.encode(text, { add_special_tokens: addSpecialTokens });
    for (const [i, id] of ids.entries()) {
      if (!(Number.isInteger(id) && id >= 0 && id < this.#vocabSize)) {
        fail('ERR_OUT_OF_RANGE', `the id of token ${JSON.stringify(tokens[i])}`, id, `one below ${this.#vocabSize}`);
      }
    }
    return Uint32Array.from(ids);
  }

  /**
   * The text of tokens, exactly as the tokenizer has it: spaces are not tidied up. Bytes that are no UTF-8 become U+FFFD,
   * ids without a token nothing. Text that goes on from other text is better decoded by a stream, which knows about it.
   */
  decode(tokens: ArrayLike<number>, { skipSpecialTokens = true }: DecodeOptions = {}): string {
    const ids = Array.from(tokens).filter((id) => this.#tokenizer.id_to_token(id) !== undefined);
    if (ids.length === 0) return '';
    return this.#tokenizer.decode(ids, {
      skip_special_tokens: skipSpecialTokens,
      clean_up_tokenization_spaces: false,
    });
  }

  /** Decodes tokens as they come; `context` are those in front of them, of which the last few are looked at. */
  stream(context: ArrayLike<number> = [], options: DecodeOptions = {}): TokenStream {
    return new TokenStream((tokens) => this.decode(tokens, options), context);
  }

  /** The id of a token, given as it stands in the vocabulary; undefined if there is none. */
  idOf(token: string): number | undefined {
    return this.#tokenizer.token_to_id(token);
  }

  /** The texts of special tokens, such as `<|eos|>`, by id. */
  get specialTokens(): ReadonlyMap<number, string> {
    const added = [...this.#tokenizer.get_added_tokens_decoder()];
    return new Map(added.filter(([, token]) => token.special).map(([id, token]) => [id, token.content]));
  }
}

/**
 * The tokenizer of a model folder. Throws ERR_TOKENIZER_UNAVAILABLE where @huggingface/tokenizers is not installed,
 * ERR_FILE_ACCESS where the folder has no tokenizer.json, ERR_FORMAT_CORRUPT, also for tokens that the model has no embedding
 * for, ERR_FORMAT_UNSUPPORTED for a kind of tokenizer that the package does not know. A model may have more embeddings than
 * there are tokens, as many are padded.
 */
export async function openTokenizer(
  folder: Pick<ModelFolder, 'readFile' | 'config' | 'place'>,
  load: () => Promise<Library> = () => import('@huggingface/tokenizers'),
): Promise<TextTokenizer> {
  const { Tokenizer } = await loadOptional('@huggingface/tokenizers', load);
  const json = await readJson(folder, TOKENIZER_FILE, MAX_TOKENIZER_BYTES);
  if (!json) {
    const others = 'sentencepiece models are not read; save the tokenizer with transformers to get one';
    throw new LorakeetError('ERR_FILE_ACCESS', `${folder.place.folder}: has no ${TOKENIZER_FILE} (${others})`);
  }
  const config = (await readJson(folder, TOKENIZER_CONFIG_FILE, MAX_TOKENIZER_CONFIG_BYTES)) ?? {};
  let tokenizer: Tokenizer;
  try {
    tokenizer = new Tokenizer(json, config);
  } catch (cause) {
    const text = `${TOKENIZER_FILE}: @huggingface/tokenizers does not take it (${cause})`;
    throw new LorakeetError('ERR_FORMAT_UNSUPPORTED', text, { cause });
  }
  const { vocabSize } = folder.config.shape;
  // tokens that were added later need not have been given to the model; encode refuses those
  for (const [token, id] of tokenizer.get_vocab(false)) {
    if (id >= vocabSize) {
      const expected = `one below vocab_size ${vocabSize} of config.json`;
      fail('ERR_FORMAT_CORRUPT', `${TOKENIZER_FILE}: the id of ${JSON.stringify(token)}`, id, expected);
    }
  }
  return new TextTokenizer(tokenizer, vocabSize);
}

/** What `load` imports; throws ERR_TOKENIZER_UNAVAILABLE naming the package. */
export async function loadOptional<T>(name: string, load: () => Promise<T>): Promise<T> {
  try {
    return await load();
  } catch (cause) {
    const text = `a package is needed that is not installed: npm install ${name}`;
    throw new LorakeetError('ERR_TOKENIZER_UNAVAILABLE', text, { cause });
  }
}

/** A JSON object of the folder, undefined where there is no such file. Throws ERR_FORMAT_CORRUPT, ERR_FILE_ACCESS. */
export async function readJson(
  folder: Pick<ModelFolder, 'readFile'>,
  name: string,
  maxBytes: number,
): Promise<Record<string, unknown> | undefined> {
  const bytes = await folder.readFile(name, maxBytes);
  if (!bytes) return undefined;
  const { value } = parseStrictJson(name, bytes);
  if (!isJsonObject(value)) fail('ERR_FORMAT_CORRUPT', name, value, 'an object');
  return value;
}
