// Read one field of a message, or say by name what is wrong with it.

export class ProtocolError extends Error {}

export type Fields = Record<string, unknown>;

export function shown(value: unknown): string {
  if (Array.isArray(value)) return `${value.length} values`;
  const text = JSON.stringify(value) ?? "nothing";
  return text.length > 40 ? `${text.slice(0, 40)}…` : text;
}

export function wrong(field: string, value: unknown, expected: string): never {
  throw new ProtocolError(`${field} is ${shown(value)}, expected ${expected}`);
}

export function object(value: unknown, field: string): Fields {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    wrong(field, value, "an object");
  }
  return value as Fields;
}

export function text(value: unknown, field: string): string {
  return typeof value === "string" ? value : wrong(field, value, "text");
}

export function number(value: unknown, field: string): number {
  return typeof value === "number" && Number.isFinite(value)
    ? value
    : wrong(field, value, "a number");
}

export function count(value: unknown, field: string): number {
  return Number.isSafeInteger(value) && (value as number) >= 0
    ? (value as number)
    : wrong(field, value, "a whole number from 0");
}

export function optional<T>(value: unknown, field: string, read: (v: unknown, f: string) => T): T | null {
  return value === null || value === undefined ? null : read(value, field);
}

export function truth(value: unknown, field: string): boolean {
  return typeof value === "boolean" ? value : wrong(field, value, "true or false");
}

export function list(value: unknown, field: string): unknown[] {
  return Array.isArray(value) ? value : wrong(field, value, "a list");
}

export function texts(value: unknown, field: string): string[] {
  return list(value, field).map((v, i) => text(v, `${field}[${i}]`));
}

export function numbers(value: unknown, field: string, length: number): number[] {
  const values = list(value, field);
  if (values.length !== length) wrong(field, value, `${length} numbers`);
  for (let i = 0; i < length; i++) number(values[i], `${field}[${i}]`);
  return values as number[];
}

export function counts(value: unknown, field: string): Record<string, number> {
  const fields = object(value, field);
  for (const name of Object.keys(fields)) count(fields[name], `${field}.${name}`);
  return fields as Record<string, number>;
}

/** A number from 0 to 1. */
export function portion(value: unknown, field: string): number {
  const n = number(value, field);
  return n >= 0 && n <= 1 ? n : wrong(field, value, "a number from 0 to 1");
}

export function oneOf<T extends string>(value: unknown, field: string, known: readonly T[]): T {
  const found = known.find((name) => name === value);
  return found ?? wrong(field, value, `one of ${known.join(", ")}`);
}

/** At most as many names as the skeleton has bones. */
export function joints(value: unknown, field: string, bones: number): string[] {
  const names = texts(value, field);
  return names.length <= bones ? names : wrong(field, value, `at most ${bones} names`);
}
