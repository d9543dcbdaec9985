// Numbers, times and errors as a person reads them.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const UNITS = ["B", "KB", "MB", "GB", "TB"];

/** A count: 12,345. */
export function count(value) {
  return Number.isFinite(value) ? whole.format(value) : "–";
}

/** A rate or another measure with as many digits as are of use: 0.42, 3.1, 128, 12.3 k. */
export function amount(value) {
  if (!Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  if (size >= 1e6) return `${(value / 1e6).toFixed(1)} M`;
  if (size >= 1e4) return `${(value / 1e3).toFixed(1)} k`;
  if (size >= 100 || size === 0) return whole.format(value);
  return size >= 10 ? value.toFixed(0) : value.toFixed(1);
}

/** Bytes: 1.2 MB. */
export function bytes(value) {
  if (!Number.isFinite(value)) return "–";
  let unit = 0;
  while (value >= 1000 && unit < UNITS.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit && value < 100 ? value.toFixed(1) : Math.round(value)} ${UNITS[unit]}`;
}

/** Milliseconds. */
export function ms(value) {
  if (!Number.isFinite(value)) return "–";
  if (value >= 10_000) return `${(value / 1000).toFixed(0)} s`;
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`;
}

/** Seconds as a length of time: 3 d 4 h. */
export function span(seconds) {
  if (!Number.isFinite(seconds)) return "–";
  const all = Math.max(0, Math.floor(seconds));
  if (all < 60) return `${all} s`;
  if (all < 3600) return `${Math.floor(all / 60)} min ${all % 60 ? `${all % 60} s` : ""}`.trim();
  if (all < 86_400) return `${Math.floor(all / 3600)} h ${Math.floor((all % 3600) / 60)} min`;
  return `${Math.floor(all / 86_400)} d ${Math.floor((all % 86_400) / 3600)} h`;
}

/** A share of one: 12 %. */
export function percent(value) {
  if (!Number.isFinite(value)) return "–";
  return `${value < 0.1 ? (value * 100).toFixed(1) : Math.round(value * 100)} %`;
}

/** Seconds since 1970 as a time of day. */
export function clock(seconds) {
  return new Date(seconds * 1000).toLocaleTimeString("en-GB");
}

/** Seconds since 1970 as a time of day, with the date if that is not today's. */
export function moment(seconds) {
  if (!Number.isFinite(seconds)) return "–";
  const day = new Date(seconds * 1000).toLocaleDateString("en-CA");
  return day === new Date().toLocaleDateString("en-CA") ? clock(seconds) : `${day} ${clock(seconds)}`;
}

/** "1 room", "2 rooms". */
export function plural(number, one, many = `${one}s`) {
  return `${count(number)} ${number === 1 ? one : many}`;
}

const REASONS = {
  forbidden: "Your role may only look.",
  noSuchRoom: "There is no such room. It may have ended.",
  roomGone: "The room has ended.",
  unavailable: "The node that has it does not answer now.",
  timeout: "It took too long.",
  tooLarge: "The answer is too large to be shown.",
  unknownType: "This server does not have that.",
  internal: "The server had an error; its log says more.",
  rateLimited: "Too many requests at a time. Try again.",
};

/** What an error means. */
export function reason(error) {
  const field = error?.details?.field;
  const text = error?.message || String(error);
  if (field) return `${field}: ${text}`;
  const known = REASONS[error?.code];
  if (!known) return text;
  return text && text !== error.code ? `${known} (${text})` : known;
}
