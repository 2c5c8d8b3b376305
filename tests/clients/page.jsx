// A support desk in a browser, on the SDK's own React hook: page.html?api=URL
import { useState } from "react";
import { createRoot } from "react-dom/client";
import { useStream } from "@langchain/langgraph-sdk/react";

const apiUrl = new URLSearchParams(location.search).get("api");

function Desk() {
  const [ticket, setTicket] = useState("");
  const [threadId, setThreadId] = useState(null);
  const stream = useStream({ apiUrl, assistantId: "triage", threadId, onThreadId: setThreadId });
  const { values, interrupt, isLoading, error } = stream;
  const told = ["category", "priority", "draft", "outcome"].filter((name) => values?.[name]);

  return (
    <main>
      <h1>Support desk</h1>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          stream.submit({ ticket, sender: "ann@example.com" });
        }}
      >
        <textarea id="ticket" rows="3" value={ticket} onChange={(e) => setTicket(e.target.value)} />
        <button id="submit" disabled={isLoading}>Submit</button>
      </form>
      <dl>
        {told.map((name) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd id={name}>{values[name]}</dd>
          </div>
        ))}
      </dl>
      {interrupt && !isLoading && (
        <section>
          <p id="question">{interrupt.value.question}</p>
          <button id="approve" onClick={() => stream.submit(null, { command: { resume: "approve" } })}>
            Approve
          </button>
        </section>
      )}
      {error && <pre id="error">{String(error)}</pre>}
      <footer id="thread">{threadId}</footer>
    </main>
  );
}

createRoot(document.getElementById("root")).render(<Desk />);
