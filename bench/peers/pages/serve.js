/**
 * Answers the requests that come over the socket of `browser_runner.ts`.
 *
 * @param {{ load(options: object): Promise<unknown>,
 *   decode(at: number, tokens: number): Promise<number>,
 *   prefill(tokens: number): Promise<number> }} peer
 */
export function serve(peer) {
  const socket = new WebSocket(`ws://${location.host}/socket`);
  socket.onmessage = async ({ data }) => {
    const request = JSON.parse(data);
    let reply;
    try {
      reply = { value: await answer(peer, request) };
    } catch (error) {
      reply = { error: String(error?.message ?? error) };
    }
    socket.send(JSON.stringify(reply));
  };
}

function answer(peer, request) {
  switch (request.op) {
    case "load":
      return peer.load(request);
    case "decode":
      return peer.decode(request.at, request.tokens);
    case "prefill":
      return peer.prefill(request.tokens);
  }
}

/** The model's file. */
export async function modelBlob() {
  const response = await fetch("/model");
  if (!response.ok) throw new Error("the model is not served");
  return await response.blob();
}
