// Forms for data that a JSON Schema describes.

import { checkbox, field, h } from "./dom.js";

/**
 * A form for data.
 *
 * Objects with known fields of plain values have a control for each; anything else is written as JSON.
 */
export class SchemaForm {
  /** @param {object} schema The JSON Schema, whose `$ref`s point into its `$defs`. */
  constructor(schema) {
    const defs = schema?.$defs ?? {};
    const root = resolve(schema ?? {}, defs);
    this._isObject = root.type === "object" && Boolean(root.properties);
    const required = new Set(root.required ?? []);
    this._parts = this._isObject
      ? Object.entries(root.properties).map(([name, part]) => new Part(name, resolve(part, defs), required.has(name)))
      : [new Part("Data", root, true)];
    this.elements = this._parts.map((part) => part.element);
  }

  /** The data. Throws an error that names the field that is wrong. */
  read() {
    if (!this._isObject) return this._parts[0].read();
    const entries = this._parts.map((part) => [part.name, part.read()]);
    return Object.fromEntries(entries.filter(([, value]) => value !== undefined));
  }
}

/** A schema without its `$ref`; of "anyOf" with null, the other one, which then may be missing. */
function resolve(schema, defs) {
  let found = schema;
  for (let depth = 0; found.$ref && depth < 20; depth += 1) found = { ...found, ...defs[found.$ref.split("/").pop()], $ref: undefined };
  const others = (found.anyOf ?? []).filter((each) => each.type !== "null");
  if (found.anyOf && others.length === 1) return { ...resolve(others[0], defs), default: found.default, isNullable: true };
  return found;
}

class Part {
  constructor(name, schema, isRequired) {
    this.name = name;
    this._schema = schema;
    this._isRequired = isRequired && schema.default === undefined && !schema.isNullable;
    const { type, title, description = "" } = schema;
    const initial = schema.default === undefined || schema.default === null ? "" : schema.default;
    const label = this._isRequired ? name : `${name} (optional)`;
    if (schema.enum) {
      const choices = schema.enum.map((value) => h("option", { value: JSON.stringify(value), selected: value === initial }, String(value)));
      this._control = h("select", {}, this._isRequired ? null : h("option", { value: "" }, "–"), choices);
    } else if (type === "boolean") {
      [this._control, this.element] = checkbox(name, { checked: initial === true });
      return;
    } else if (type === "integer" || type === "number") {
      const limits = { min: schema.minimum, max: schema.maximum, step: type === "integer" ? 1 : "any" };
      this._control = h("input", { type: "number", value: initial, required: this._isRequired, ...limits });
    } else if (type === "string") {
      const size = { minlength: schema.minLength, maxlength: schema.maxLength };
      this._control = h("input", { type: "text", value: initial, required: this._isRequired && schema.minLength > 0, autocomplete: "off", ...size });
    } else {
      const text = initial === "" ? "" : JSON.stringify(initial);
      this._control = h("textarea", { rows: 3, spellcheck: "false", placeholder: example(schema) }, text);
    }
    const isText = this._control instanceof HTMLTextAreaElement;
    this.element = field(label, this._control, [description || (title !== name && title) || "", isText ? "JSON" : ""].filter(Boolean).join(" · "));
  }

  read() {
    const { type } = this._schema;
    const control = this._control;
    if (this._schema.enum) return control.value ? JSON.parse(control.value) : undefined;
    if (type === "boolean") return control.checked;
    if (control.value === "" && !this._isRequired) return undefined;
    if (type === "integer" || type === "number") {
      if (!Number.isFinite(control.valueAsNumber)) throw new Error(`${this.name} must be a number.`);
      return control.valueAsNumber;
    }
    if (type === "string") return control.value;
    if (control.value.trim() === "") return null;
    try {
      return JSON.parse(control.value);
    } catch (error) {
      throw new Error(`${this.name} is not JSON: ${error.message}`);
    }
  }
}

function example({ type }) {
  return type === "array" ? "[]" : type === "object" ? "{}" : "null";
}
