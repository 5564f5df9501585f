/** What the window of a sign-in tells the page that opened it. */
export type SignInAnswer = { state: string; ok: boolean; message: string }

const CHANNEL = "halflap-sign-in"

/** Where apps send the browser back to. */
export function redirectUri(): string {
  return `${window.location.origin}/console/connected`
}

/** Wait for the answer of the sign-in with a state; return how to stop that. */
export function listenForSignIn(
  state: string,
  listener: (answer: SignInAnswer) => void,
): () => void {
  // By a channel, since the window is of another origin in between, and has no opener after that.
  const channel = new BroadcastChannel(CHANNEL)
  channel.onmessage = ({ data }: MessageEvent<SignInAnswer>) => {
    if (data.state === state) listener(data)
  }
  return () => channel.close()
}

export function tellOfSignIn(answer: SignInAnswer): void {
  const channel = new BroadcastChannel(CHANNEL)
  channel.postMessage(answer)
  channel.close()
}
