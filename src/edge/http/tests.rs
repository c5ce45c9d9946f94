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
