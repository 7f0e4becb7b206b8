// Ties the audio to pictures and tables: a time that is chosen is played, and a line shows what is heard.

const clock = (secs) => {
  const whole = Math.floor(secs);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
};

// Whether `file` is the one that was judged; where the browser cannot tell, it is believed.
async function isSame(file, sha256) {
  if (!globalThis.crypto?.subtle) return true;
  const digest = await crypto.subtle.digest("SHA-256", await file.arrayBuffer());
  return [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, "0")).join("") === sha256;
}

class Player {
  constructor(root) {
    this.section = root.querySelector("#player");
    this.audio = this.section.querySelector("audio");
    this.note = this.section.querySelector("#player-note");
    this.sliders = [];
    this.end = Infinity;
    const rows = [...root.querySelectorAll("tr[data-start]")];
    this.rows = rows.map((row) => ({ row, start: Number(row.dataset.start), end: Number(row.dataset.end) }));
    this.plots = [...root.querySelectorAll(".plot")];
  }

  play(start, end = Infinity) {
    this.end = end;
    this.audio.currentTime = start;
    // A pause that comes before the sound ends the promise too.
    this.audio.play().catch((error) => { if (error.name === "NotSupportedError") this.refuse(); });
  }

  refuse() {
    this.note.textContent = "This browser cannot play this format.";
  }

  take(address, words) {
    this.audio.src = address;
    this.audio.hidden = false;
    this.note.textContent = words;
    const field = this.section.querySelector("#own-copy-field");
    if (field) field.hidden = true;
    if (this.sliders.length > 0) return;
    this.section.querySelector("#player-help").hidden = false;
    const channels = this.section.querySelector("#heard-channel-field");
    if (channels) {
      channels.hidden = false;
      const count = Number(channels.dataset.channels);
      channels.querySelector("select").addEventListener("change", ({ target }) => this.hear(target.value, count));
    }
    this.audio.addEventListener("error", () => this.refuse());
    this.audio.addEventListener("timeupdate", () => this.show());
    this.audio.addEventListener("seeking", () => this.show());
    this.audio.addEventListener("play", () => this.follow());
    this.rows.forEach((each) => this.addButton(each));
    this.plots.forEach((plot, index) => this.addSlider(plot, index));
    this.show();
  }

  // One channel alone, on both sides, or all of them as they are ("").
  hear(channel, count) {
    if (!this.route) {
      const context = new AudioContext();
      this.route = { context, source: context.createMediaElementSource(this.audio), splitter: context.createChannelSplitter(count) };
      // Browsers let sound begin only after the reader did something.
      this.audio.addEventListener("play", () => context.resume());
    }
    const { context, source, splitter } = this.route;
    context.resume();
    source.disconnect();
    splitter.disconnect();
    if (channel === "") source.connect(context.destination);
    else {
      source.connect(splitter);
      splitter.connect(context.destination, Number(channel));
    }
  }

  follow() {
    if (this.audio.paused) return;
    if (this.audio.currentTime >= this.end) {
      this.audio.pause();
      this.end = Infinity;
    }
    this.show();
    requestAnimationFrame(() => this.follow());
  }

  show() {
    const at = this.audio.currentTime;
    for (const { slider, head, secs } of this.sliders) {
      head.style.left = `${(100 * Math.min(at, secs)) / secs}%`;
      slider.setAttribute("aria-valuenow", at.toFixed(1));
      slider.setAttribute("aria-valuetext", clock(at));
    }
    const isHeard = !this.audio.paused;
    for (const { row, start, end } of this.rows) row.classList.toggle("heard", isHeard && at >= start && at < end);
  }

  addButton({ row, start, end }) {
    const cell = row.querySelector(".time");
    const button = document.createElement("button");
    button.type = "button";
    button.className = "quiet play";
    button.append(...cell.childNodes);
    button.setAttribute("aria-label", `Play ${button.textContent}`);
    button.addEventListener("click", () => this.play(start, end));
    cell.append(button);
  }

  addSlider(plot, index) {
    const graph = plot.querySelector(".graph");
    const secs = Number(graph.dataset.secs);
    if (!(secs > 0)) return;
    const slider = document.createElement("div");
    const head = document.createElement("div");
    slider.className = "seek";
    head.className = "playhead";
    const attributes = {
      role: "slider", tabindex: "0", "aria-label": `Position in picture ${index + 1}`, "aria-valuemin": "0",
      "aria-valuemax": secs.toFixed(1), "aria-orientation": "horizontal",
    };
    for (const [name, value] of Object.entries(attributes)) slider.setAttribute(name, value);
    slider.append(head);
    slider.addEventListener("click", (event) => {
      const box = slider.getBoundingClientRect();
      const at = (secs * (event.clientX - box.left)) / box.width;
      // Bars stand at the middle two seconds of their segments.
      const bars = [...graph.querySelectorAll("[data-start]")].map((bar) => Number(bar.dataset.start));
      this.play(bars.filter((start) => start <= at).pop() ?? at);
    });
    slider.addEventListener("keydown", (event) => this.press(event, secs));
    plot.append(slider);
    this.sliders.push({ slider, head, secs });
  }

  press(event, secs) {
    const at = this.audio.currentTime;
    const steps = { ArrowLeft: at - 2, ArrowRight: at + 2, ArrowDown: at - 2, ArrowUp: at + 2, Home: 0, End: secs };
    if (event.key in steps) {
      this.end = Infinity;
      this.audio.currentTime = Math.min(Math.max(steps[event.key], 0), secs);
    } else if (event.key === " " || event.key === "Enter") {
      if (this.audio.paused) this.play(at);
      else this.audio.pause();
    } else return;
    event.preventDefault();
  }
}

// Makes the page under `root` audible: by `file` where it was just handed in, by the service's copy, or by one that is chosen.
export function listen(root, file) {
  if (!root.querySelector("#player")) return;
  const player = new Player(root);
  const { audio, sha256 } = player.section.dataset;
  const own = "This is your browser's own copy: it is gone once you leave this page.";
  if (file) player.take(URL.createObjectURL(file), own);
  else if (audio) player.take(audio, player.note.textContent);
  else player.section.querySelector("#own-copy-field").hidden = false;
  player.section.querySelector("#own-copy")?.addEventListener("change", async ({ target }) => {
    const [chosen] = target.files;
    if (!chosen) return;
    if (await isSame(chosen, sha256)) player.take(URL.createObjectURL(chosen), own);
    else player.note.textContent = "This is another file: its SHA-256 differs.";
  });
}
