/** Features of editions, as they are inherited from the file inwards. */
import type { FeatureSet } from '@bufbuild/protobuf/wkt';

interface Featured {
  readonly options?: { readonly features?: FeatureSet | undefined } | undefined;
}

/** The value that is set innermost (`around` begins there), or 0 for the default of the edition. */
export function featureOf<Name extends 'enumType' | 'jsonFormat'>(
  name: Name,
  around: readonly Featured[],
): FeatureSet[Name] | 0 {
  for (const { options } of around) {
    const value = options?.features?.[name];
    if (value !== undefined && value !== 0) return value;
  }
  return 0;
}
