// Draws /openapi.json. Text goes in by textContent only, so nothing in the document can become markup.
"use strict";

const DEPTH_MAX = 4;

function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children.filter((child) => child !== null));
  return node;
}

function resolve(api, schema) {
  return schema && schema.$ref ? api.components.schemas[schema.$ref.split("/").pop()] : schema;
}

function typeOf(api, schema) {
  if (!schema) return "";
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.anyOf) return schema.anyOf.map((one) => typeOf(api, one)).join(" | ");
  if (schema.enum) return schema.enum.map((one) => JSON.stringify(one)).join(" | ");
  if (schema.type === "array") return `[${typeOf(api, schema.items)}]`;
  if (schema.type === "object" && schema.additionalProperties)
    return `{…: ${typeOf(api, schema.additionalProperties) || "any"}}`;
  return schema.format || schema.type || "any";
}

function bounds(schema) {
  const names = ["minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "pattern", "default"];
  return names.filter((name) => schema[name] !== undefined)
    .map((name) => `${name} ${JSON.stringify(schema[name])}`).join(", ");
}

function inner(api, schema) {
  if (!schema) return null;
  if (schema.anyOf) return schema.anyOf.map((one) => inner(api, one)).find(Boolean) || null;
  if (schema.items) return inner(api, schema.items);
  if (schema.additionalProperties && schema.additionalProperties !== true && !schema.properties)
    return inner(api, schema.additionalProperties);
  const found = resolve(api, schema);
  return found && found.properties ? found : null;
}

function fields(api, schema, depth = 0) {
  const found = inner(api, schema);
  if (!found || depth > DEPTH_MAX) return null;
  const table = el("table");
  for (const [name, field] of Object.entries(found.properties)) {
    const needed = (found.required || []).includes(name);
    const about = el("td", {}, [field.description, bounds(field)].filter(Boolean).join(" · "));
    const nested = fields(api, field, depth + 1);
    if (nested) about.append(el("div", { class: "nested" }, nested));
    table.append(el("tr", {},
      el("td", {}, el("code", needed ? { class: "required" } : {}, name)),
      el("td", {}, el("code", {}, typeOf(api, field))), about));
  }
  return table;
}

function section(title, ...content) {
  return el("section", {}, el("h3", {}, title), ...content);
}

function parameters(list) {
  const table = el("table");
  for (const one of list) {
    table.append(el("tr", {},
      el("td", {}, el("code", one.required ? { class: "required" } : {}, one.name)),
      el("td", {}, `${one.in}, ${one.schema.type}`), el("td", {}, one.description || "")));
  }
  return table;
}

function call(api, path, method, one, shared) {
  const body = el("div", { class: "body" }, el("p", {}, one.description || ""));
  const all = [...shared, ...(one.parameters || [])];
  if (all.length) body.append(section("Parameters", parameters(all)));
  if (one.requestBody) {
    const schema = one.requestBody.content["application/json"].schema;
    body.append(section(`Body: ${typeOf(api, schema)}`, fields(api, schema)));
  }
  const answers = el("table");
  for (const [status, answer] of Object.entries(one.responses)) {
    const [kind, content] = Object.entries(answer.content || {})[0] || ["", {}];
    const about = el("td", {}, answer.description);
    if (kind === "application/json") {
      about.append(` (${typeOf(api, content.schema)})`);
      const nested = fields(api, content.schema);
      if (nested) about.append(el("div", { class: "nested" }, nested));
    }
    answers.append(el("tr", {}, el("td", {}, el("code", {}, status)), about));
  }
  body.append(section("Answers", answers));
  return el("details", { "data-find": `${method} ${path} ${one.summary}`.toLowerCase() },
    el("summary", {}, el("span", { class: `method ${method}` }, method.toUpperCase()),
      el("span", { class: "path" }, path), el("span", { class: "what" }, one.summary)), body);
}

function draw(api) {
  document.getElementById("version").textContent = api.info.version;
  const main = document.getElementById("calls");
  main.replaceChildren();
  for (const tag of api.tags) {
    const group = el("section", {}, el("h2", {}, tag.name.replace(/-/g, " ")));
    for (const [path, item] of Object.entries(api.paths)) {
      for (const [method, one] of Object.entries(item)) {
        if (method !== "parameters" && one.tags[0] === tag.name)
          group.append(call(api, path, method, one, item.parameters || []));
      }
    }
    main.append(group);
  }
}

document.getElementById("filter").addEventListener("input", (event) => {
  const wanted = event.target.value.toLowerCase();
  for (const one of document.querySelectorAll("details"))
    one.hidden = !one.dataset.find.includes(wanted);
});

fetch("/openapi.json").then((answer) => answer.json()).then(draw).catch((failure) => {
  document.getElementById("calls").textContent = `The description could not be loaded: ${failure}`;
});
