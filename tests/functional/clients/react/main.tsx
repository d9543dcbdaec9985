// A chat in React. In StrictMode each effect is run twice while it is developed: join, leave, join.

import { StrictMode, useEffect, useState } from "react";
import { createRoot } from "react-dom/client";
import { Client, type Member, type Room } from "txroom";

interface Said {
  text: string;
  by: string;
}

interface Messages {
  said: Said;
  welcome: string;
}

interface JoinOptions {
  name: string;
  auth?: string;
}

const client = new Client(new URL("/rooms", location.href));
const name = new URLSearchParams(location.search).get("name") ?? "nobody";

interface Chatting {
  room: Room<Messages> | undefined;
  said: Said[];
  members: Member[];
}

function useChat({ name, auth }: JoinOptions): Chatting {
  const [room, setRoom] = useState<Room<Messages>>();
  const [said, setSaid] = useState<Said[]>([]);
  const [members, setMembers] = useState<Member[]>([]);
  useEffect(() => {
    let isOver = false;
    const options: JoinOptions = auth === undefined ? { name } : { name, auth };
    const joining = client.joinOrCreate<Messages>("parlour", options);
    joining
      .then((room) => {
        if (isOver) return;
        setRoom(room);
        setSaid([]);
        room.on("said", (one) => setSaid((all) => [...all, one]));
        room.onPresence(setMembers);
      })
      .catch((error: unknown) => console.error(error));
    return () => {
      isOver = true;
      void joining.then((room) => room.leave());
    };
  }, [name, auth]);
  return { room, said, members };
}

/** A component that takes any room. */
function Status({ room }: { room: Room | undefined }) {
  return <p id="status">{room === undefined ? "joining" : `${room.name}: ${room.status}`}</p>;
}

function Chat() {
  const { room, said, members } = useChat({ name, auth: "open sesame" });
  const [text, setText] = useState("");
  return (
    <main>
      <Status room={room} />
      <ul id="members">
        {members.flatMap(({ metas }) => metas).map((meta) => <li key={meta.member}>{meta.name}</li>)}
      </ul>
      <ul id="said">
        {said.map(({ text }, index) => <li key={index}>{text}</li>)}
      </ul>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          void room?.send("say", text);
          setText("");
        }}
      >
        <input value={text} onChange={({ target }) => setText(target.value)} />
        <button disabled={room === undefined}>Send</button>
      </form>
    </main>
  );
}

createRoot(document.getElementById("root")!).render(
  <StrictMode>
    <Chat />
  </StrictMode>,
);
