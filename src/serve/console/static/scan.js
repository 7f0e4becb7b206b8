import { listen } from "./player.js";
import { ended } from "./wait.js";

listen(document);
const waiting = document.querySelector("#waiting");
if (waiting) {
  ended(waiting.dataset.scan).then(() => location.reload(), (error) => { waiting.textContent = error.message; });
}
