//! What is answered at each address, over a real socket.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::*;

/// The code, the head and the body of an answer.
async fn ask(address: SocketAddr, path: &str) -> (u16, String, String) {
    let mut stream = TcpStream::connect(address).await.expect("connected");
    let request = format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("asked");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("answered");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let code = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a code");
    (code, head.to_lowercase(), body.to_owned())
}

#[tokio::test]
async fn each_address_answers_what_it_is_for() {
    let health = Arc::new(Health::default());
    let pages = Pages {
        health: Arc::clone(&health),
        metrics: Box::new(|| Ok("forewarn_up 1\n".to_owned())),
        status: Box::new(|| Status { records: 7, ..Status::default() }),
        reload: Reload { token: None, requests: mpsc::channel(1).0 },
    };
    let listener = bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.expect("bound");
    let address = listener.local_addr().expect("an address");
    let shutdown = CancellationToken::new();
    let server = tokio::spawn(serve(listener, pages, shutdown.clone()));

    let (code, head, body) = ask(address, "/metrics").await;
    assert_eq!((code, body.as_str()), (200, "forewarn_up 1\n"));
    assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");
    for path in ["/-/ready", "/readyz"] {
        let (code, _, body) = ask(address, path).await;
        let body: serde_json::Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!((code, body["missing"].as_array().map(Vec::len)), (503, Some(3)), "{path}");
    }
    for condition in [Condition::Assigned, Condition::StoreWritable, Condition::RulesLoaded] {
        health.set(condition, true);
    }
    assert_eq!(ask(address, "/-/ready").await.2, "{\"missing\":[],\"ready\":true}\n");
    for path in ["/-/healthy", "/healthz"] {
        assert_eq!(ask(address, path).await.0, 200, "{path}");
    }
    health.set_alive(false);
    assert_eq!(ask(address, "/-/healthy").await.0, 503);
    let status: Status = serde_json::from_str(&ask(address, "/-/status").await.2).expect("a status");
    assert_eq!(status.records, 7);
    assert_eq!(ask(address, "/").await.0, 200);
    assert_eq!(ask(address, "/nowhere").await.0, 404);

    shutdown.cancel();
    server.await.expect("no panic").expect("ended well");
}

#[tokio::test]
async fn an_address_that_is_taken_is_named_with_its_key() {
    let taken = bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.expect("bound");
    let address = taken.local_addr().expect("an address");
    let told = format!("{:#}", anyhow::Error::from(bind(address).await.expect_err("taken")));
    let place = format!("cannot listen on {address} (http.listen)");
    assert!(told.starts_with(&place) && told.contains("Address already in use"), "{told}");
}

/// The code and the body of an answer to a request to reload, with this header.
async fn ask_to_reload(address: SocketAddr, authorization: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.expect("connected");
    let request = format!(
        "POST /-/reload HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Length: 0\r\n{authorization}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.expect("asked");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("answered");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let code = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a code");
    (code, body.to_owned())
}

#[tokio::test]
async fn only_who_has_the_token_reloads_the_rules_and_is_told_what_came_of_it() {
    for (token, header, answer, code, says) in [
        (None, "Authorization: Bearer 0123456789abcdef", None, 403, "http.reload_token_file"),
        (Some("0123456789abcdef"), "X-None: 1", None, 401, "Authorization: Bearer"),
        (Some("0123456789abcdef"), "Authorization: Bearer 0123456789abcdeg", None, 401, "Authorization"),
        (Some("0123456789abcdef"), "Authorization: Bearer 0123456789abcdef0", None, 401, "Authorization"),
        (Some("0123456789abcdef"), "Authorization: Bearer", None, 401, "Authorization"),
        (
            Some("0123456789abcdef"),
            "Authorization: Bearer 0123456789abcdef",
            Some(Ok("3 rules".to_owned())),
            200,
            "3 rules",
        ),
        (
            Some("0123456789abcdef"),
            "Authorization: Bearer 0123456789abcdef",
            Some(Err(ReloadRefused::Invalid("a.yaml:3:1".to_owned()))),
            422,
            "a.yaml:3:1",
        ),
    ] {
        let (requests, mut asked) = mpsc::channel::<ReloadRequest>(1);
        let pages = Pages {
            health: Arc::new(Health::default()),
            metrics: Box::new(|| Ok(String::new())),
            status: Box::new(Status::default),
            reload: Reload { token: token.map(Into::into), requests },
        };
        let listener = bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.expect("bound");
        let address = listener.local_addr().expect("an address");
        let shutdown = CancellationToken::new();
        let server = tokio::spawn(serve(listener, pages, shutdown.clone()));
        let is_asked = answer.is_some();
        let worker = tokio::spawn(async move {
            let request = asked.recv().await;
            if let (Some(request), Some(answer)) = (request, answer) {
                request.send(answer).expect("somebody waits");
            }
        });
        let (got, body) = ask_to_reload(address, header).await;
        assert_eq!(got, code, "{header}: {body}");
        assert!(body.contains(says), "{header}: {body}");
        assert_eq!(worker.is_finished() || is_asked, is_asked, "nobody is asked without the token");
        shutdown.cancel();
        server.await.expect("ended").expect("served");
    }
}
