// Hands files in one after the other; a single one's page is then shown here, so that its audio is still at hand.
import { listen } from "./player.js";
import { documentAt, ended } from "./wait.js";

const form = document.querySelector("#drop");
const zone = form?.querySelector(".zone");
const progress = document.querySelector("#progress");

function upload(file, onProgress) {
  const query = new URLSearchParams({ name: file.name, policy: form.policy.value });
  if (form.label.value.trim()) query.set("label", form.label.value.trim());
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", `/console/upload?${query}`);
    request.setRequestHeader("X-Form-Token", form.form_token.value);
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.responseType = "json";
    request.upload.addEventListener("progress", ({ loaded, total }) => onProgress(loaded / total));
    request.addEventListener("load", () => {
      const { status, response } = request;
      if (status === 200 || status === 202) resolve(response.id);
      else reject(new Error(response?.detail ?? `The service answered ${status}.`));
    });
    request.addEventListener("error", () => reject(new Error("The service could not be reached.")));
    request.send(file);
  });
}

// One line of the list, with what happens to its file.
function line(file) {
  const item = document.createElement("li");
  const name = document.createElement("span");
  const state = document.createElement("span");
  const bar = document.createElement("progress");
  name.textContent = file.name;
  name.className = "file-name";
  state.className = "note";
  bar.max = 1;
  bar.setAttribute("aria-label", `Handing in ${file.name}`);
  item.append(name, state, bar);
  progress.querySelector("ul").append(item);
  return { name, state, bar };
}

async function handIn(file) {
  const { name, state, bar } = line(file);
  try {
    if (file.size > Number(form.dataset.maxBytes)) throw new Error("It is larger than an upload may be.");
    state.textContent = "on its way";
    const id = await upload(file, (share) => { bar.value = share; });
    bar.removeAttribute("value");
    state.textContent = "being judged";
    await ended(id);
    const link = document.createElement("a");
    link.href = `/console/scans/${id}`;
    link.textContent = file.name;
    name.replaceChildren(link);
    state.textContent = "judged";
    return id;
  } catch (error) {
    state.textContent = error.message;
    state.classList.add("fault");
    return null;
  } finally {
    bar.remove();
  }
}

async function show(id, file) {
  const address = `/console/scans/${id}`;
  const page = await documentAt(address);
  const main = document.querySelector("main");
  main.replaceChildren(...page.querySelector("main").childNodes);
  document.title = page.title;
  history.pushState(null, "", address);
  for (const link of document.querySelectorAll(".bar nav a")) {
    const other = page.querySelector(`.bar nav a[href="${link.getAttribute("href")}"]`);
    if (other?.hasAttribute("aria-current")) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  listen(main, file);
  main.focus();
  scrollTo(0, 0);
}

async function take(files) {
  if (files.length === 0) return;
  progress.hidden = false;
  form.file.disabled = true;
  let last = null;
  for (const file of files) last = await handIn(file);
  form.file.disabled = false;
  form.file.value = "";
  if (files.length === 1 && last) await show(last, files[0]);
}

// Going back or forth leaves the page that was taken over.
addEventListener("popstate", () => location.reload());
if (form) {
  form.file.multiple = true;
  form.addEventListener("submit", (event) => event.preventDefault());
  form.file.addEventListener("change", () => take([...form.file.files]));
  for (const name of ["dragover", "dragleave", "drop"]) {
    zone.addEventListener(name, (event) => {
      event.preventDefault();
      zone.classList.toggle("over", name === "dragover");
      if (name === "drop" && !form.file.disabled) take([...event.dataTransfer.files]);
    });
  }
}
