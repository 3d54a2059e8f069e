/** Sizes of a decoder's tensors and adapters: the only shape arithmetic of src/llm/decoder. */
import { type DecoderShape, LORA_MODULES, type LoraModule, type LoraTarget, type WeightName } from './contract.js';

/** What goes into a projection and what comes out. */
export function moduleFeatures(shape: DecoderShape, module: LoraModule): { in: number; out: number } {
  const { hiddenSize: hidden, intermediateSize: intermediate, headDim } = shape;
  const query = shape.heads * headDim;
  const keyValue = shape.keyValueHeads * headDim;
  switch (module) {
    case 'q_proj':
      return { in: hidden, out: query };
    case 'k_proj':
    case 'v_proj':
      return { in: hidden, out: keyValue };
    case 'o_proj':
      return { in: query, out: hidden };
    case 'gate_proj':
    case 'up_proj':
      return { in: hidden, out: intermediate };
    case 'down_proj':
      return { in: intermediate, out: hidden };
  }
}

/** Rows and columns of a tensor of the base; a vector is one row. */
export function weightSize(shape: DecoderShape, name: WeightName): { rows: number; columns: number } {
  switch (name.tensor) {
    case 'embed_tokens':
    case 'lm_head':
      return { rows: shape.vocabSize, columns: shape.hiddenSize };
    case 'norm':
    case 'input_layernorm':
    case 'post_attention_layernorm':
      return { rows: 1, columns: shape.hiddenSize };
    case 'q_norm':
    case 'k_norm':
      return { rows: 1, columns: shape.headDim };
    default: {
      const features = moduleFeatures(shape, name.tensor);
      return name.bias ? { rows: 1, columns: features.out } : { rows: features.out, columns: features.in };
    }
  }
}

/** Every tensor that a model of this shape has. */
export function weightNames(shape: DecoderShape): WeightName[] {
  const names: WeightName[] = [{ tensor: 'embed_tokens' }, { tensor: 'norm' }];
  if (!shape.tied) names.push({ tensor: 'lm_head' });
  for (let layer = 0; layer < shape.layers; layer++) {
    names.push({ layer, tensor: 'input_layernorm' }, { layer, tensor: 'post_attention_layernorm' });
    if (shape.queryKeyNorms) names.push({ layer, tensor: 'q_norm' }, { layer, tensor: 'k_norm' });
    for (const tensor of LORA_MODULES) {
      names.push({ layer, tensor, bias: false });
      if (shape.biases.includes(tensor)) names.push({ layer, tensor, bias: true });
    }
  }
  return names;
}

/** The same string for the same tensor: `layers.3.q_proj.bias`, `embed_tokens`. */
export function weightKey(name: WeightName): string {
  if (!('layer' in name)) return name.tensor;
  return `layers.${name.layer}.${name.tensor}${'bias' in name && name.bias ? '.bias' : ''}`;
}

/** Where a target's factors lie in the vectors of its adapter. */
export interface PlacedTarget extends LoraTarget {
  in: number;
  out: number;
  /** Of loraA [rank × in]. */
  offsetA: number;
  /** Of loraB [out × rank]. */
  offsetB: number;
}

export interface AdapterLayout {
  targets: readonly PlacedTarget[];
  parameterCount: number;
}

export function adapterLayout(shape: DecoderShape, targets: readonly LoraTarget[]): AdapterLayout {
  let at = 0;
  const placed = targets.map((target) => {
    const features = moduleFeatures(shape, target.module);
    const offsetA = at;
    const offsetB = offsetA + target.rank * features.in;
    at = offsetB + features.out * target.rank;
    return { ...target, ...features, offsetA, offsetB };
  });
  return { targets: placed, parameterCount: at };
}
