//! Many users on one connection of HTTP/2, as a front brings them: what one of them leaves is nobody else's loss.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};

use crate::process::{CONFIG, Site, runtime};

/// Windows of common fronts: of a stream, and of a connection.
const STREAM_WINDOW: u32 = 65_535;
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// More than fits a window, and less than what the gate keeps beside it.
const PICTURE_BYTES: usize = 100_000;
/// How long the others go on: several times `write_timeout`.
const GOES_ON: Duration = Duration::from_secs(15);
const PATIENCE: Duration = Duration::from_secs(120);

/// A service with a video that has no end, a picture, and events. Says which answers it could not send.
fn service(broken: Sender<String>) -> std::net::SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().take(1000) {
            let (mut stream, broken) = (stream.unwrap(), broken.clone());
            std::thread::spawn(move || {
                while let Some(path) = asked(&mut stream) {
                    if answer(&mut stream, &path).is_err() {
                        let _nobody_asks = broken.send(path);
                        return;
                    }
                }
            });
        }
    });
    address
}

/// The path of the next request.
fn asked(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).ok()? == 0 {
            return None;
        }
        head.push(byte[0]);
    }
    Some(String::from_utf8(head).unwrap().split(' ').nth(1)?.to_owned())
}

fn answer(stream: &mut TcpStream, path: &str) -> std::io::Result<()> {
    stream.set_write_timeout(Some(PATIENCE))?;
    match path {
        "/video" => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")?;
            (0..10_000).try_for_each(|_| stream.write_all(&[b'v'; 100_000]))
        }
        "/picture" => {
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {PICTURE_BYTES}\r\n\r\n")?;
            stream.write_all(&[b'p'; PICTURE_BYTES])
        }
        "/events" => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
            for _ in 0..1000 {
                std::thread::park_timeout(Duration::from_millis(100));
                stream.write_all(b"5\r\nevent\r\n")?;
            }
            stream.write_all(b"0\r\n\r\n")
        }
        _ => stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
    }
}

async fn ask(client: &mut SendRequest<Empty<Bytes>>, path: &str) -> Response<Incoming> {
    let request = Request::get(format!("http://a.example{path}")).body(Empty::new()).unwrap();
    let answer = client.send_request(request).await.unwrap();
    assert_eq!(answer.status(), 200, "{path}");
    answer
}

/// How many bytes come of an answer, and how it breaks off if it does.
async fn all(answer: Response<Incoming>) -> (usize, Option<String>) {
    let (mut body, mut bytes) = (answer.into_body(), 0);
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => bytes += frame.data_ref().map_or(0, Bytes::len),
            Err(error) => {
                let source = std::error::Error::source(&error).map(ToString::to_string);
                return (bytes, Some(source.unwrap_or_default()));
            }
        }
    }
    (bytes, None)
}

#[test]
fn g5_an_answer_that_nobody_takes_ends_alone() {
    let (told, broken) = channel();
    let service = service(told);
    let site = Site::with(
        |_| {
            format!(
                "[[api]]\nname = \"a\"\ndialect = \"enactor\"\nat = [\"/\"]\nupstream = \"http://{service}\"\n\
                 [[api.route]]\nat = \"/**\"\nallow = \"anonymous\"\n[limits]\nwrite_timeout = \"4s\"\n"
            )
        },
        Vec::new(),
    );
    site.write(CONFIG, &site.configuration().replace("access = false", "access = true"));
    let mut gate = site.start();
    runtime().block_on(async {
        let stream = tokio::net::TcpStream::connect(gate.address).await.unwrap();
        let (mut client, connection) = Builder::new(TokioExecutor::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .handshake(TokioIo::new(stream))
            .await
            .unwrap();
        let connection = tokio::spawn(connection);
        // One user pauses a video and a picture; another has a stream of events and asks other things.
        let paused = [ask(&mut client, "/video").await, ask(&mut client, "/picture").await];
        let mut events = ask(&mut client, "/events").await.into_body();
        let until = Instant::now() + GOES_ON;
        let mut answered = 0;
        while Instant::now() < until {
            let event = events.frame().await.unwrap().expect("the events of another user go on");
            assert_eq!(event.into_data().unwrap(), "event");
            assert_eq!(all(ask(&mut client, "/other").await).await, (2, None));
            // What is taken ends as it should, however large.
            assert_eq!(all(ask(&mut client, "/picture").await).await, (PICTURE_BYTES, None));
            answered += 1;
        }
        println!("{answered} other answers of each kind");
        for answer in paused {
            let (bytes, broke_off) = all(answer).await;
            assert_eq!(bytes, usize::try_from(STREAM_WINDOW).unwrap(), "what its window held");
            let cancelled = "stream error received: stream no longer needed";
            assert_eq!(broke_off.as_deref(), Some(cancelled));
        }
        assert!(events.frame().await.unwrap().is_ok());
        assert_eq!(all(ask(&mut client, "/other").await).await, (2, None));
        assert!(!connection.is_finished());
    });
    assert_eq!(broken.recv_timeout(PATIENCE).as_deref(), Ok("/video"), "its service is let go");
    let mut left = Vec::new();
    while left.len() < 2 {
        let line = gate.says_next(&["request answered"]);
        if line["broke_off"] == "the client took nothing of the answer for longer than limits.write_timeout" {
            left.push(line["http.path"].clone());
        }
    }
    left.sort_by_key(ToString::to_string);
    assert_eq!(left, ["/picture", "/video"]);
}
