/**
 * The slab: one flat Float32Array that holds everything a slot knows, in the order in which backends and files exchange
 * it. The only shape arithmetic in the package; everybody else asks for named views.
 *
 *   [ weights | fisher | anchor | moment1 | moment2 ]      each section: loraA [rank × in] row-major, then loraB [out × rank]
 *
 * fisher and anchor are there when the pool has EWC, the moments when its optimizer is AdamW.
 */
export interface SlabShape {
  rank: number;
  inFeatures: number;
  outFeatures: number;
  ewc: boolean;
  moments: boolean;
}

export type SlabSection = 'weights' | 'fisher' | 'anchor' | 'moment1' | 'moment2';

export interface SlabLayout {
  /** rank · (inFeatures + outFeatures): numbers in one section. */
  readonly parameterCount: number;
  /** rank · inFeatures: where loraB starts within a section. */
  readonly loraALength: number;
  /** Numbers in the whole slab. */
  readonly slabLength: number;
  /** The sections this slab has, in order. */
  readonly sections: readonly SlabSection[];
}

/** Numbers in one section of such a slab. */
export function parametersIn({ rank, inFeatures, outFeatures }: Omit<SlabShape, 'ewc' | 'moments'>): number {
  return rank * (inFeatures + outFeatures);
}

export function slabLayout(shape: SlabShape): SlabLayout {
  const sections: SlabSection[] = ['weights'];
  if (shape.ewc) sections.push('fisher', 'anchor');
  if (shape.moments) sections.push('moment1', 'moment2');
  const parameterCount = parametersIn(shape);
  return {
    parameterCount,
    loraALength: shape.rank * shape.inFeatures,
    slabLength: parameterCount * sections.length,
    sections,
  };
}

/** A view of one section within `slab` (which may hold several slabs one after another), or undefined if it has none. */
export function sectionView(
  layout: SlabLayout,
  slab: Float32Array,
  section: SlabSection,
  index = 0,
): Float32Array | undefined {
  const position = layout.sections.indexOf(section);
  if (position < 0) return undefined;
  const start = index * layout.slabLength + position * layout.parameterCount;
  return slab.subarray(start, start + layout.parameterCount);
}
