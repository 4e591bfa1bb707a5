// What the page shows is the state that the server answered with last; everything typed becomes text, never markup.

const $ = id => document.getElementById(id);
const KINDS = { go_to: "go to", pick: "pick up", place: "place on or in", open: "open", close: "close" };
const LOST = { error: "llarp does not answer", hint: "was it stopped? start it again, then reload this page" };

let state = null;
let camera = "top_down";
let running = false;
let runs = 0;
let busy = false;
let using = false;
let last = Promise.resolve();

/** An element with classes and children, which are elements or text. */
function make(tag, classes = "", ...children) {
  const element = document.createElement(tag);
  element.className = classes;
  element.append(...children);
  return element;
}

/** Ask the server, one thing after the other. The answer is shown, the new state or what is wrong. True if all went well. */
function send(path, body) {
  last = last.then(() => ask(path, body));
  return last;
}

async function ask(path, body) {
  busy = true;
  document.body.classList.add("busy");
  enable();
  let answer;
  try {
    const how = body === undefined ? {} : {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
    };
    answer = await (await fetch(path, how)).json();
  } catch {
    answer = LOST;
  }
  busy = false;
  document.body.classList.remove("busy");
  tell(answer.error, answer.hint);
  if (!answer.error) state = answer;
  if (state) show();
  return !answer.error;
}

/** One line about what cannot be done; nothing where all is well. */
function tell(problem, hint) {
  $("problem").hidden = !problem;
  $("problem").replaceChildren(problem ?? "", ...(hint ? [" ", make("span", "", `(${hint})`)] : []));
}

function show() {
  showTask();
  $("first_person").src = state.pictures.first_person;
  showCamera();
  showPolicy();
  showSkills();
  showEvents();
  const facts = {
    holding: state.holding || "nothing",
    "in reach": [...state.standing_at, ...state.in_view.filter(t => t.in_reach).map(t => t.name)].join(", ") || "nothing",
    "farther off": state.in_view.filter(t => !t.in_reach).map(t => t.name).join(", "),
    open: state.opened.join(", "),
  };
  $("facts").replaceChildren(...Object.entries(facts).filter(([, value]) => value)
    .map(([name, value]) => make("div", "", make("dt", "", name), make("dd", "", value))));
  if (![...$("home").options].some(option => option.value === state.home)) $("home").prepend(new Option(state.home));
  enable();
}

function showTask() {
  $("asked").textContent = state.asked ? `“${state.asked}”` : "Nothing is asked yet.";
  $("asked").className = state.asked ? "" : "nothing";
  $("note").textContent = state.asked ? state.note : "Ask for something above, or take over and explore.";
  $("note").title = state.goal;
  $("outcome").textContent = !state.judged ? "" : state.reached ? "goal reached" : "goal not reached yet";
  $("outcome").className = state.reached ? "reached" : "";
  document.body.classList.toggle("reached", state.reached);
}

function showCamera() {
  $("other").src = state.pictures[camera];
  for (const button of document.querySelectorAll("[data-camera]")) {
    const chosen = button.dataset.camera === camera;
    button.setAttribute("aria-pressed", chosen);
    if (chosen) $("other").alt = button.textContent;
  }
}

function showPolicy() {
  const policy = state.policy;
  $("policy").textContent = policy ? `policy: ${policy.name}` : "by hand: no policy";
  $("value").textContent = policy?.value == null ? "" : `value ${policy.value.toFixed(2)}`;
  $("trial").textContent = !policy ? "There is no policy. Begin with: llarp play --web --policy POLICY"
    : policy.ending ? `It has ended: ${policy.ending}.`
    : policy.asked ? `state ${policy.trial} of ${policy.steps} at most` : "Ask for something: then it tells what it would do.";
  $("bars").replaceChildren(...(policy?.likeliest ?? []).map(([number, probability]) => {
    const skill = state.skills[number];
    const bar = make("i");
    bar.style.width = `${100 * probability}%`;
    const share = probability < 0.001 ? "<0.1%" : `${(100 * probability).toFixed(1)}%`;
    const name = make("span", "name", skill.name, ...(skill.why_not ? [make("span", "tag", "not possible now")] : []));
    return make("li", "", skillButton(number, bar, name, make("span", "share", share)));
  }));
}

/** A button that uses a skill; of one that cannot be used, it says why. */
function skillButton(number, ...children) {
  const { name, why_not: why } = state.skills[number];
  const button = make("button", why ? "cannot" : "", ...children);
  button.type = "button";
  button.dataset.skill = number;
  button.title = why ? `${name}: not possible: ${why}` : name;
  button.setAttribute("aria-disabled", Boolean(why));
  return button;
}

function showSkills() {
  const wanted = $("filter").value.trim().toLowerCase();
  const groups = Object.entries(KINDS).map(([kind, words]) => {
    const numbers = [...state.skills.keys()]
      .filter(i => state.skills[i].kind === kind && state.skills[i].name.toLowerCase().includes(wanted));
    return numbers.length ? [make("h3", "", words), make("div", "", ...numbers.map(i => skillButton(i, state.skills[i].target)))] : [];
  });
  $("kinds").replaceChildren(...groups.flat());
}

function showEvents() {
  const rows = state.events.map(event => {
    if (event.asked !== undefined) {
      return make("li", "said", make("span", "number", ""), make("span", "name", `“${event.asked}”`), make("span", "more", "asked"));
    }
    const more = [event.probability === null ? "by hand" : `${(100 * event.probability).toFixed(1)}%`];
    if (event.reason) more.push(`not possible: ${event.reason}`);
    if (event.reward) more.push(`reward ${event.reward.toFixed(2)}`);
    if (event.reached) more.push("goal reached");
    const classes = event.reason ? "cannot" : event.reached ? "reached" : "";
    return make("li", classes, make("span", "number", `${event.number}.`), make("span", "name", event.skill), make("span", "more", more.join(", ")));
  });
  const nothing = make("li", "", make("span"), make("span", "more", "nothing yet"));
  $("events").replaceChildren(...(rows.length ? rows.reverse() : [nothing]));
}

/** Which buttons can be pressed now. */
function enable() {
  const able = Boolean(state?.policy?.asked);
  if (!able) running = false;
  $("run").textContent = running ? "Pause" : "Run";
  $("run").disabled = !able;
  $("step").disabled = !able || running || busy;
  $("undo").disabled = busy || running || !state?.events.length;
  $("reset").disabled = busy || running || !state?.events.length;
}

/** Step until somebody pauses it, or begins another run while this one waits. */
async function run() {
  const mine = ++runs;
  while (running && mine === runs) {
    if (!await send("/step", {})) running = false;
    enable();
    if (running) await new Promise(resume => setTimeout(resume, Number($("pace").value)));
  }
}

$("ask").addEventListener("submit", async event => {
  event.preventDefault();
  running = false;
  if (await send("/say", { text: $("text").value })) $("text").select();
});
$("visit").addEventListener("submit", event => {
  event.preventDefault();
  running = false;
  send("/home", { name: $("home").value, seed: Number($("seed").value) });
});
$("step").addEventListener("click", () => send("/step", {}));
$("run").addEventListener("click", () => {
  running = !running;
  enable();
  if (running) run();
});
$("undo").addEventListener("click", () => send("/undo", {}));
$("reset").addEventListener("click", () => send("/reset", {}));
$("filter").addEventListener("input", () => state && showSkills());
document.addEventListener("click", event => {
  const pressed = event.target.closest("button");
  if (pressed?.dataset.camera) {
    camera = pressed.dataset.camera;
    if (state) showCamera();
  } else if (pressed?.dataset.skill) {
    const { name, why_not: why } = state.skills[pressed.dataset.skill];
    running = false;
    if (why) tell(`“${name}” is not possible: ${why}`);
    else if (!using) { // a second click is too quick: the first one is still under way
      using = true;
      send("/use", { skill: Number(pressed.dataset.skill) }).finally(() => { using = false; });
    }
  }
});

async function begin() {
  try {
    const { homes, seed } = await (await fetch("/homes")).json();
    $("seed").value = seed;
    for (const [words, names] of Object.entries(homes)) {
      const group = document.createElement("optgroup");
      group.label = words;
      group.append(...names.map(name => new Option(name)));
      $("home").append(group);
    }
  } catch {
    return tell(LOST.error, LOST.hint);
  }
  if (await send("/state")) $("home").value = state.home;
}
begin();
