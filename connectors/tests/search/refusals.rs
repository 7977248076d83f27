//! Addresses, credentials and indexes that are not what they should be: cause, remedy, no password.

use crate::support::*;
use connectors::opensearch::{OpenSearch, OpenSearchConfig};
use ports::{Search, Trouble};
use serde_json::{Value, json};
use services::proxy::{Fault, Proxy};
use std::sync::Arc;

/// What `open` says, and whether it is for a person to mend.
async fn refused(config: &OpenSearchConfig) -> (bool, String) {
    match OpenSearch::open(config).await {
        Err(Trouble::Fatal(fatal)) => (true, fatal.to_string()),
        Err(trouble @ Trouble::Transient { .. }) => (false, trouble.to_string()),
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn send(method: &str, url: &str, body: &Value) -> (u16, Value) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
    let answer = client.request(method, url).json(body).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap_or_default())
}

#[tokio::test]
async fn an_address_that_is_none_or_leads_elsewhere_is_told_with_its_remedy() {
    let of = |url: &str| OpenSearchConfig { url: url.to_owned(), ..OpenSearchConfig::default() };
    for (url, said) in [
        ("127.0.0.1:9200", "is no address of OpenSearch"),
        ("ftp://127.0.0.1:9200", "not http"),
        ("http://", "is no address of OpenSearch"),
        ("http://ann:hush@:9200", "is no address of OpenSearch"),
        ("ann:hush@host:9200", "is no address of OpenSearch"),
    ] {
        let (lasting, told) = refused(&of(url)).await;
        assert!(lasting && told.contains(said) && told.contains("--opensearch"), "{url}: {told}");
        assert!(!told.contains("hush"), "{told}");
    }
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (lasting, told) = refused(&of(&format!("http://ann:hush@{nobody}"))).await;
    assert!(!lasting && told.contains("does not answer"), "{told}");
    assert!(told.contains("check --opensearch") && !told.contains("hush"), "{told}");

    let elastic =
        r#"{"version":{"number":"8.15.0","build_flavor":"default"},"tagline":"You Know"}"#;
    for (status, body, lasting, said) in [
        (200, "<html>It works!</html>", true, "is not OpenSearch"),
        (200, "{}", true, "is not OpenSearch"),
        (404, "{\"message\":\"no such bucket\"}", true, "(it answered 404)"),
        (400, "", true, "(it answered 400)"),
        (200, elastic, true, "another engine of version 8.15.0"),
        (502, "<html>Bad Gateway</html>", false, "502"),
        (503, "OpenSearch Security not initialized.", false, "not initialized"),
    ] {
        let other =
            Proxy::start("nowhere", "GET / ", &[Fault::Answer(status, body)]).await.unwrap();
        let (is_lasting, told) = refused(&of(&other.url)).await;
        assert_eq!(is_lasting, lasting, "{body}: {told}");
        assert!(told.contains(said) && told.contains(&other.url), "{body}: {told}");
    }
}

#[tokio::test]
async fn credentials_are_sent_from_settings_or_address_and_wrong_ones_are_told_without_them() {
    let Some(config) = config() else { return };
    // `ann` and `hu@sh`.
    let password = Some("Basic YW5uOmh1QHNo".to_owned());
    let guarded = Proxy::guarded(&config.url, "_bulk", &[], password).await.unwrap();
    let of = |user: Option<&str>, password: Option<&str>, url: String| OpenSearchConfig {
        user: user.map(str::to_owned),
        password: password.map(str::to_owned),
        url,
        ..config.clone()
    };
    let in_address = guarded.url.replace("http://", "http://ann:hu%40sh@");
    let right = of(Some("ann"), Some("hu@sh"), guarded.url.clone());
    OpenSearch::open(&right).await.unwrap();
    OpenSearch::open(&of(None, None, in_address.clone())).await.unwrap();
    for wrong in [
        of(None, None, guarded.url.clone()),
        of(Some("ann"), Some("hu@s"), guarded.url.clone()),
        of(Some("bob"), None, in_address),
    ] {
        let (lasting, told) = refused(&wrong).await;
        assert!(lasting && told.contains("401"), "{told}");
        assert!(told.contains("--opensearch-user and --opensearch-password"), "{told}");
        assert!(!told.contains("hu@s") && !told.contains("hu%40s"), "{told}");
        assert!(!format!("{wrong:?}").contains("hu"), "{wrong:?}");
    }
}

#[tokio::test]
async fn names_that_are_taken_or_cannot_be_are_refused() {
    let Some(config) = config() else { return };
    for alias in ["", "Reelmill", "-a", "_all", "a,b", "a*", "a/b", "a b", &"a".repeat(101)] {
        let named = OpenSearchConfig { alias: alias.to_owned(), ..config.clone() };
        let (lasting, told) = refused(&named).await;
        assert!(lasting && told.contains("--opensearch-index"), "{alias}: {told}");
    }
    let OpenSearchConfig { url, alias, .. } = &config;
    send("PUT", &format!("{url}/{alias}"), &json!({})).await;
    let (lasting, told) = refused(&config).await;
    assert!(lasting && told.contains("is an index and must be an alias"), "{told}");
    send("DELETE", &format!("{url}/{alias}"), &json!({})).await;

    for n in [1, 2] {
        let body = json!({ "aliases": { (alias.as_str()): {} } });
        send("PUT", &format!("{url}/other-{alias}-{n}"), &body).await;
    }
    let (lasting, told) = refused(&config).await;
    assert!(lasting && told.contains("stands for both"), "{told}");
    send("DELETE", &format!("{url}/other-{alias}-2"), &json!({})).await;
    let (lasting, told) = refused(&config).await;
    assert!(lasting && told.contains("has another layout"), "{told}");
    assert!(told.contains("reelmill index rebuild"), "{told}");
}

#[tokio::test]
async fn an_index_that_was_removed_meanwhile_is_told_and_made_anew() {
    let Some(config) = config() else { return };
    let index: Arc<dyn Search> = Arc::new(OpenSearch::open(&config).await.unwrap());
    let url = format!("{}/{}-v1-000001", config.url, config.alias);
    for putting in [true, false] {
        index.put(&document("a", labels(&["Car"]))).await.unwrap();
        assert_eq!(send("DELETE", &url, &json!({})).await.0, 200);
        let answer = if putting {
            index.put(&document("b", labels(&["Car"]))).await
        } else {
            index.remove("a").await
        };
        if putting {
            let told = answer.unwrap_err();
            assert!(matches!(told, Trouble::Transient { reason: "index_missing", .. }), "{told:?}");
            assert!(told.to_string().contains("reelmill index rebuild"), "{told}");
            index.put(&document("b", labels(&["Car"]))).await.unwrap();
            assert_eq!(found(&index, "car").await, ["b"]);
            let (_, mapping) = send("GET", &format!("{url}/_mapping"), &json!({})).await;
            assert!(mapping.to_string().contains("\"dynamic\":\"strict\""), "{mapping}");
        } else {
            answer.unwrap();
            let told = index.search(&request("car")).await.unwrap_err();
            assert!(matches!(told, Trouble::Transient { reason: "index_missing", .. }), "{told:?}");
            assert!(found(&index, "car").await.is_empty());
        }
    }
}

#[tokio::test]
async fn two_that_open_at_once_share_one_index() {
    let Some(config) = config() else { return };
    let opened = futures::future::join_all((0..6).map(|_| OpenSearch::open(&config))).await;
    for (n, index) in opened.into_iter().enumerate() {
        index.unwrap().put(&document(&format!("{n}"), labels(&["Car"]))).await.unwrap();
    }
    let index: Arc<dyn Search> = Arc::new(OpenSearch::open(&config).await.unwrap());
    assert_eq!(found(&index, "car").await.len(), 6);
    let all = format!("{}/{}-*/_alias", config.url, config.alias);
    let (_, indexes) = send("GET", &all, &json!({})).await;
    assert_eq!(indexes.as_object().unwrap().len(), 1, "{indexes}");
}
