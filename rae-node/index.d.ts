/** Version of the engine, for example `0.1.0`. */
export function version(): string;
