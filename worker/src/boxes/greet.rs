//! The challenge on a connection: both sides, without a time limit of their own (the callers have one). What is read is
//! exactly the challenge, so that HTTP can begin on the same connection, also in another process.

use std::io;

use oxherd_contract::ids::{BoxId, WorkerId};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::challenge::{DISBELIEF, HELLO_BYTES, Hello, NONCE_BYTES, Nonce, PROOF_BYTES, Side, Verdict};
use crate::route::tag::Secrets;

/// Why two boxes do not talk.
#[derive(Debug, Error)]
pub(crate) enum GreetError {
    #[error("the connection broke")]
    Io(#[from] io::Error),
    #[error("it did not answer in time")]
    Late,
    #[error("what connected is no box of this version")]
    NotABox,
    #[error("another box was meant")]
    OtherBox,
    #[error("it does not have the same secret: cluster.secrets differs between the boxes")]
    WrongSecret,
    #[error("the worker is gone")]
    NoSuchWorker,
}

/// What the asking side wants.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wish {
    pub from: BoxId,
    pub to: BoxId,
    pub worker: WorkerId,
}

/// The asking side: when this returns, HTTP may begin.
pub(super) async fn ask<S>(stream: &mut S, wish: Wish, secrets: &Secrets) -> Result<(), GreetError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let Wish { from, to, worker } = wish;
    let hello = Hello { from, to, worker, nonce: rand::random() };
    stream.write_all(&hello.encode()).await?;
    let mut answer = [0; NONCE_BYTES + PROOF_BYTES];
    stream.read_exact(&mut answer).await?;
    let (theirs, proof) = split(&answer);
    if !Side::Answering.believes(secrets, &hello, &theirs, &proof) {
        stream.write_all(&DISBELIEF).await?;
        return Err(GreetError::WrongSecret);
    }
    stream.write_all(&Side::Asking.prove(secrets, &hello, &theirs)).await?;
    match Verdict::of(stream.read_u8().await?) {
        Some(Verdict::Welcome) => Ok(()),
        Some(Verdict::NoSuchWorker) => Err(GreetError::NoSuchWorker),
        Some(Verdict::WrongSecret) => Err(GreetError::WrongSecret),
        None => Err(GreetError::NotABox),
    }
}

/// The answering side: the worker that is meant. The verdict on that is the caller's ([`decide`]).
pub(super) async fn answer<S>(stream: &mut S, me: BoxId, secrets: &Secrets) -> Result<WorkerId, GreetError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut hello = [0; HELLO_BYTES];
    stream.read_exact(&mut hello).await?;
    let hello = Hello::decode(&hello).ok_or(GreetError::NotABox)?;
    if hello.to != me {
        return Err(GreetError::OtherBox); // an old address: there is nothing to prove
    }
    let ours: Nonce = rand::random();
    let mut answer = [0; NONCE_BYTES + PROOF_BYTES];
    answer[..NONCE_BYTES].copy_from_slice(&ours);
    answer[NONCE_BYTES..].copy_from_slice(&Side::Answering.prove(secrets, &hello, &ours));
    stream.write_all(&answer).await?;
    let mut proof = [0; PROOF_BYTES];
    stream.read_exact(&mut proof).await?;
    if !Side::Asking.believes(secrets, &hello, &ours, &proof) {
        decide(stream, Verdict::WrongSecret).await?;
        return Err(GreetError::WrongSecret);
    }
    Ok(hello.worker)
}

/// The answering side's last word.
pub(super) async fn decide<S: AsyncWrite + Unpin>(stream: &mut S, verdict: Verdict) -> io::Result<()> {
    stream.write_u8(verdict as u8).await
}

fn split(answer: &[u8; NONCE_BYTES + PROOF_BYTES]) -> (Nonce, [u8; PROOF_BYTES]) {
    let (mut nonce, mut proof) = ([0; NONCE_BYTES], [0; PROOF_BYTES]);
    nonce.copy_from_slice(&answer[..NONCE_BYTES]);
    proof.copy_from_slice(&answer[NONCE_BYTES..]);
    (nonce, proof)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use oxherd_contract::secret::Secret;
    use tokio::io::duplex;

    use super::*;

    const WISH: Wish = Wish { from: BoxId(1), to: BoxId(2), worker: WorkerId(3) };

    fn secrets(text: &str) -> Arc<Secrets> {
        Secrets::new(&[Secret::new(text)])
    }

    /// Both outcomes, and what the asking side can read after it.
    async fn greet(wish: Wish, asking: &str, answering: &str) -> [Result<(), GreetError>; 2] {
        let (mut one, mut other) = duplex(256);
        let (asking, answering) = (secrets(asking), secrets(answering));
        let asks = ask(&mut one, wish, &asking);
        let answers = async move {
            let worker = answer(&mut other, BoxId(2), &answering).await?;
            let verdict = if worker == WorkerId(3) { Verdict::Welcome } else { Verdict::NoSuchWorker };
            decide(&mut other, verdict).await.map_err(GreetError::Io)
        }; // whose end closes the connection
        let (asked, answered) = tokio::join!(asks, answers);
        [asked, answered]
    }

    #[tokio::test]
    async fn boxes_with_one_secret_agree() {
        let outcome = greet(WISH, "a secret of many bytes", "a secret of many bytes").await;
        assert!(matches!(outcome, [Ok(()), Ok(())]), "{outcome:?}");
    }

    #[tokio::test]
    async fn both_sides_know_that_their_secrets_differ() {
        let outcome = greet(WISH, "a secret of many bytes", "another secret of many bytes").await;
        assert!(
            matches!(outcome, [Err(GreetError::WrongSecret), Err(GreetError::WrongSecret)]),
            "{outcome:?}"
        );
    }

    #[tokio::test]
    async fn a_worker_that_is_gone_and_a_box_that_is_another_are_no_reason_to_talk() {
        let secret = "a secret of many bytes";
        let outcome = greet(Wish { worker: WorkerId(4), ..WISH }, secret, secret).await;
        assert!(matches!(outcome, [Err(GreetError::NoSuchWorker), Ok(())]), "{outcome:?}");
        let outcome = greet(Wish { to: BoxId(9), ..WISH }, secret, secret).await;
        assert!(matches!(outcome, [Err(GreetError::Io(_)), Err(GreetError::OtherBox)]), "{outcome:?}");
    }

    #[tokio::test]
    async fn a_client_that_speaks_http_learns_nothing() {
        let (mut client, mut served) = duplex(256);
        client.write_all(&[b"GET / HTTP/1.1\r\n", &[b'a'; 100][..]].concat()).await.unwrap();
        let outcome = answer(&mut served, BoxId(2), &secrets("a secret of many bytes")).await;
        assert!(matches!(outcome, Err(GreetError::NotABox)));
        drop(served);
        let mut heard = Vec::new();
        client.read_to_end(&mut heard).await.unwrap();
        assert!(heard.is_empty());
    }

    #[tokio::test]
    async fn nothing_after_the_challenge_is_read() {
        let (mut one, mut other) = duplex(256);
        let secrets = secrets("a secret of many bytes");
        let asking = async {
            ask(&mut one, WISH, &secrets).await.unwrap();
            one.write_all(b"GET /").await.unwrap();
        };
        let answering = async {
            answer(&mut other, BoxId(2), &secrets).await.unwrap();
            decide(&mut other, Verdict::Welcome).await.unwrap();
        };
        tokio::join!(asking, answering);
        let mut rest = [0; 5];
        other.read_exact(&mut rest).await.unwrap();
        assert_eq!(&rest, b"GET /");
    }
}
