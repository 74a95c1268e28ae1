/** True if two types are the same. */
export type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
/** Compiles if its type argument is true. */
export declare function same<_ extends true>(): void;
