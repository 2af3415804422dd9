//! The client against a server of a few lines that answers whatever a test wants.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

/// Answers each request on each connection with the next of `answers`, and then says nothing more.
async fn server(answers: Vec<String>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut answers = answers.into_iter();
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut bytes = vec![0; 4096];
            while stream.read(&mut bytes).await.is_ok_and(|count| count > 0) {
                match answers.next() {
                    Some(answer) if answer.is_empty() => break,
                    Some(answer) => stream.write_all(answer.as_bytes()).await.unwrap(),
                    None => std::future::pending().await,
                }
            }
        }
    });
    address
}

fn client(follow_redirects: bool) -> HttpClient {
    let limits =
        HttpLimits { timeout: Duration::from_secs(2), max_body: 100, follow_redirects, loopback: true };
    HttpClient::new(limits, None)
}

fn at(address: SocketAddr, path: &str) -> Endpoint {
    Endpoint::parse(&format!("http://{address}{path}"), true).unwrap()
}

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

#[tokio::test]
async fn connections_serve_again_and_one_that_was_closed_is_replaced() {
    let address = server(vec![ok("one"), ok("two"), String::new(), ok("three")]).await;
    let client = client(false);
    for expected in ["one", "two"] {
        let answer = client.call(&at(address, "/"), &Call::get()).await.unwrap();
        assert_eq!((answer.status.as_u16(), answer.body.as_slice()), (200, expected.as_bytes()));
    }
    let answer = client.call(&at(address, "/"), &Call::get()).await.unwrap();
    assert_eq!(answer.body, b"three");
}

#[tokio::test]
async fn answers_are_bounded_whether_they_say_so_or_not() {
    let endless = format!(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{}",
        "10\r\n0123456789abcdef\r\n".repeat(9)
    );
    for answer in
        [ok(&"x".repeat(101)), "HTTP/1.1 200 OK\r\ncontent-length: 10485760\r\n\r\n".into(), endless]
    {
        let address = server(vec![answer]).await;
        let error = client(false).call(&at(address, "/"), &Call::get()).await.unwrap_err();
        assert!(matches!(error, HttpError::TooLarge(100)), "{error}");
    }
    let address = server(vec![ok(&"x".repeat(100))]).await;
    assert!(client(false).call(&at(address, "/"), &Call::get()).await.is_ok());
}

#[tokio::test]
async fn slow_answers_end_with_the_call() {
    let address = server(Vec::new()).await;
    let mut slow = client(false).limits();
    slow.timeout = Duration::from_millis(50);
    let error = HttpClient::new(slow, None).call(&at(address, "/"), &Call::get()).await.unwrap_err();
    assert!(matches!(error, HttpError::Slow(_)), "{error}");
    // Nobody listens: the port was free a moment ago.
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let error = client(false).call(&at(gone, "/"), &Call::get()).await.unwrap_err();
    assert!(matches!(error, HttpError::Connect(_)), "{error}");
}

#[tokio::test]
async fn redirects_lead_nowhere_but_to_the_same_host_by_leave() {
    let to =
        |location: &str| format!("HTTP/1.1 302 Found\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n");
    let address = server(vec![to("/next"), ok("here")]).await;
    assert_eq!(client(true).call(&at(address, "/"), &Call::get()).await.unwrap().body, b"here");
    let elsewhere = server(vec![ok("elsewhere")]).await;
    for (follow, location) in [
        (false, "/next".to_owned()),
        (true, format!("http://{elsewhere}/")),
        (true, "file:///etc/passwd".to_owned()),
        (true, format!("//{elsewhere}/")),
    ] {
        let address = server(vec![to(&location), ok("here")]).await;
        let error = client(follow).call(&at(address, "/"), &Call::get()).await.unwrap_err();
        assert!(matches!(error, HttpError::Redirected), "{location}: {error}");
    }
    let round = server(vec![to("/"); 9]).await;
    assert!(client(true).call(&at(round, "/"), &Call::get()).await.is_err());
}
