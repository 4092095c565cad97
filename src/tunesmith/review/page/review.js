// Keys, pages without a reload, and drafts. Every form also works without this.
"use strict";

const page = document.getElementById("page");
const trouble = document.getElementById("trouble");
let busy = false;

const find = (selector) => page.querySelector(selector);
const main = () => find("main");
// Raters may take turns in one tab: what one has begun is not shown to the next.
const draftKey = () => `review ${main()?.dataset.rater} ${main()?.dataset.item}`;

function say(text) {
  trouble.textContent = text;
  trouble.hidden = !text;
}

// Put the page that came into the place of this one. The texts in it are escaped by the server; no script of it runs.
function put(html, url, push) {
  const came = new DOMParser().parseFromString(html, "text/html");
  page.replaceChildren(...came.getElementById("page").childNodes);
  document.title = came.title;
  if (push && url !== location.href) history.pushState(null, "", url);
  begin();
  window.scrollTo(0, 0);
}

async function load(url, options, push) {
  if (busy) return;
  busy = true;
  const draft = options.method === "POST" ? draftKey() : null;
  try {
    const answer = await fetch(url, { credentials: "same-origin", ...options });
    if (answer.status >= 500) throw new Error();
    const html = await answer.text();
    if (draft && answer.ok && answer.redirected && !new URL(answer.url).pathname.endsWith("/login")) {
      sessionStorage.removeItem(draft);
    }
    say("");
    put(html, answer.url, push);
  } catch {
    say("Not saved: the server does not answer. Everything is still here; press Enter to try again.");
  } finally {
    busy = false;
  }
}

function begin() {
  restore();
  mark();
  // Screen readers begin to read at the top of what is new; keys work from anywhere.
  (find("[autofocus]") || main())?.focus({ preventScroll: true });
}

function mark() {
  const chosen = find("input[name=choice]:checked")?.value;
  for (const side of ["left", "right"]) find(`#${side}`)?.classList.toggle("chosen", chosen === side);
}

// A draft outlives a reload and a server that went away; it ends when its rating is saved.
function keepDraft() {
  const form = find("#rating");
  if (!form) return;
  const said = [...new FormData(form)].filter(([name]) => name !== "token" && name !== "shown");
  sessionStorage.setItem(draftKey(), JSON.stringify(said));
}

function restore() {
  const form = find("#rating");
  const kept = form && sessionStorage.getItem(draftKey());
  if (!kept) return;
  for (const [name, value] of JSON.parse(kept)) {
    if (name === "correction") {
      form.elements.correction.value = value;
      if (value) find("#correct").open = true;
    } else {
      const input = [...form.elements].find((one) => one.type === "radio" && one.name === name && one.value === value);
      if (input) input.checked = true;
    }
  }
}

function forgetDrafts() {
  for (const key of Object.keys(sessionStorage)) if (key.startsWith("review ")) sessionStorage.removeItem(key);
}

function check(input) {
  if (!input) return;
  input.checked = true;
  input.focus();
  input.dispatchEvent(new Event("change", { bubbles: true }));
}

const choose = (value) => check(find(`input[name=choice][value=${value}]`));
const scales = () => [...page.querySelectorAll(".scale")];
const currentScale = () => document.activeElement?.closest?.(".scale");

function nextScale(after) {
  const every = scales();
  const rest = after ? every.slice(every.indexOf(after) + 1) : every;
  const next = after ? rest[0] : rest.find((one) => !one.querySelector(":checked")) || rest[0];
  return next && (next.querySelector(":checked") || next.querySelector("input"));
}

function rateScale(digit) {
  const pair = main().dataset.kind === "pair";
  const scale = currentScale() || (pair ? null : nextScale()?.closest(".scale"));
  if (!scale) return false;
  const input = [...scale.querySelectorAll("input")].find((one) => one.value === digit);
  check(input);
  if (input) (nextScale(scale) || find("#submit")).focus();
  return true;
}

function openCorrection() {
  const details = find("#correct");
  const area = find("#correction");
  details.open = true;
  if (!area.value) {
    const side = find("input[name=choice]:checked")?.value === "right" ? "right" : "left";
    // A text that is not shown whole is not to be taken for the rater's own.
    if (!find(`#${side} .cut`)) area.value = find(`#${side} .text`).textContent;
  }
  area.focus();
}

function press(event) {
  if (!find("#rating") || event.altKey || event.metaKey || event.isComposing) return;
  const form = find("#rating");
  const writing = event.target.tagName === "TEXTAREA";
  const key = event.key;
  if (key === "Enter" && (event.ctrlKey || !writing)) {
    // On a link, a button or what folds, Enter does what it always does.
    if (!event.ctrlKey && event.target.closest("a, button, summary")) return;
    event.preventDefault();
    form.requestSubmit(find("#submit"));
    return;
  }
  if (event.ctrlKey) return;
  if (writing) {
    if (key === "Escape") event.target.blur();
    return;
  }
  const pair = main().dataset.kind === "pair";
  const onScale = Boolean(currentScale());
  let done = true;
  if (/^[0-9]$/.test(key) && (onScale || !pair)) done = rateScale(key);
  else if (pair && (key === "1" || (key === "ArrowLeft" && !onScale))) choose("left");
  else if (pair && (key === "2" || (key === "ArrowRight" && !onScale))) choose("right");
  else if (pair && (key === "0" || key === "=")) choose("tie");
  else if (key === "n" && pair) choose("unsure");
  else if (key === "n") form.requestSubmit(find("#unsure"));
  else if (key === "s") nextScale(currentScale())?.focus();
  else if (key === "c") openCorrection();
  else if (key === "u") find("#undo")?.click();
  else if (key === "?") find("#help").open = !find("#help").open;
  else done = false;
  if (done) event.preventDefault();
}

document.addEventListener("keydown", press);
page.addEventListener("input", keepDraft);
page.addEventListener("change", () => { keepDraft(); mark(); });
page.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.classList.contains("logout")) forgetDrafts();
  if (form.id !== "rating") return;
  event.preventDefault();
  const body = new URLSearchParams(new FormData(form, event.submitter));
  load(form.action, { method: "POST", body }, true);
});
page.addEventListener("click", (event) => {
  const link = event.target.closest("a#undo");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  load(link.href, {}, true);
});
window.addEventListener("popstate", () => load(location.href, {}, false));
begin();
