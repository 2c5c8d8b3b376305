// The JavaScript SDK as people use it; prints what it saw as JSON: node sdk.js URL SCENARIO [KEY]
import { Client } from "@langchain/langgraph-sdk";

const [url, scenario, apiKey = null] = process.argv.slice(2);
const client = new Client({ apiUrl: url, apiKey });
const { runs, threads, assistants } = client;

const collect = async (stream) => {
  const parts = [];
  for await (const part of stream) parts.push(part);
  return parts;
};

const scenarios = {
  async follow() {
    const { thread_id } = await threads.create();
    let run;
    const parts = await collect(
      runs.stream(thread_id, "ticking", {
        input: { log: [] },
        config: { recursion_limit: 1000 },
        streamMode: ["values", "updates", "custom"],
        streamResumable: true,
        onRunCreated: (made) => (run = made),
      }),
    );
    const told = parts.filter((part) => ["values", "updates", "custom"].includes(part.event));
    return { run_id: run.run_id, ids: told.map((part) => Number(part.id)), last: told.at(-1).data };
  },

  async join() {
    const { thread_id } = await threads.create();
    const { run_id } = await runs.create(thread_id, "steps", {
      input: { log: ["x"] },
      streamMode: ["values", "updates"],
    });
    await runs.join(thread_id, run_id);
    const whole = await collect(runs.joinStream(thread_id, run_id, { lastEventId: "-1" }));
    const rest = await collect(runs.joinStream(thread_id, run_id, { lastEventId: whole[4].id }));
    const values = await collect(runs.joinStream(thread_id, run_id, { streamMode: ["values"] }));
    return { run_id, whole, rest, values };
  },

  async wait() {
    const { thread_id } = await threads.create();
    const values = await runs.wait(thread_id, "ticking", { input: { log: [] } });
    const alone = await runs.wait(null, "ticking", { input: { log: [] } });
    return { values, alone, runs: (await runs.list(thread_id)).length };
  },

  async cut() {
    const { thread_id } = await threads.create();
    const asked = runs.wait(thread_id, "ticking", { input: { log: [] } });
    const raised = await asked.then(() => false, () => true);
    const [run] = await runs.list(thread_id);
    let values = null;
    while (!values) values = await runs.join(thread_id, run.run_id).catch(() => null);
    return { raised, values, runs: (await runs.list(thread_id)).length };
  },

  async approve() {
    const { thread_id } = await threads.create();
    const asked = await runs.wait(thread_id, "asks", { input: { log: ["x"] } });
    const { status, interrupts } = await threads.get(thread_id);
    const parts = await collect(
      runs.stream(thread_id, "asks", { command: { resume: "yes" }, streamMode: "updates" }),
    );
    const state = await threads.getState(thread_id);
    return { asked, status, interrupts, parts, state };
  },

  async threads() {
    const made = await threads.create({ metadata: { user: "ann" }, graphId: "steps" });
    await runs.wait(made.thread_id, "steps", { input: { log: ["x"] } });
    const history = await threads.getHistory(made.thread_id, { limit: 100 });
    const past = history.at(-2);
    const { configurable } = await threads.updateState(made.thread_id, {
      values: { log: ["edited"] },
      checkpoint: past.checkpoint,
    });
    const edited = await threads.getState(made.thread_id, configurable);
    const copied = await threads.copy(made.thread_id);
    const found = await threads.search({ metadata: { user: "ann" } });
    await threads.delete(made.thread_id);
    const gone = await threads.get(made.thread_id).catch((error) => error.status);
    return {
      history: history.length,
      edited: edited.values,
      copied: copied.values,
      found: found.length,
      gone,
      graphs: (await assistants.search({ graphId: "steps" })).map((one) => one.graph_id),
    };
  },
};

console.log(JSON.stringify(await scenarios[scenario]()));
