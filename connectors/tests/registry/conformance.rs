//! conformance::registry: what reelmill relies on, whichever registry answers.
//!
//! Subjects have names of their own, so that it may run in a registry that is in use.
//! [`DIFFERENCES`] says where Apicurio answers otherwise than Confluent's registry, and with it the
//! embedded one; reelmill relies on none of these. Two more: Apicurio takes a schema with other
//! white space for another schema, and its ids have gaps.

use apache_avro::{Schema, to_value};
use connectors::registry::ConfluentRegistry;
use ports::{Refusal, SchemaRegistry, Trouble};
use serde::Serialize;
use serde_json::{Value, json};

const FIRST: &str = r#"{"type":"record","name":"Seen","doc":"Something was seen.","fields":[{"name":"a","type":"int"}]}"#;
const WITH_DEFAULT: &str = r#"{"type":"record","name":"Seen","fields":[{"name":"a","type":"int"},{"name":"b","type":"int","default":0}]}"#;
/// Reads `WITH_DEFAULT`, but not `FIRST`: b has no default any more.
const REQUIRED: &str = r#"{"type":"record","name":"Seen","fields":[{"name":"a","type":"int"},{"name":"b","type":"int"}]}"#;

#[derive(Serialize)]
struct Seen {
    a: i32,
}

/// A registry, and a word that makes names its own.
struct Asked {
    url: String,
    client: ConfluentRegistry,
    run: String,
}

/// Runs the whole suite.
pub(crate) async fn registry(url: &str) {
    let run = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let asked = Asked {
        url: url.to_owned(),
        client: ConfluentRegistry::new(url).unwrap(),
        run: format!("run{}", run.as_micros()),
    };
    an_event_comes_back_as_it_was(&asked).await;
    a_schema_has_one_id_in_all_subjects(&asked).await;
    an_unknown_id_is_poison(&asked).await;
    a_schema_that_breaks_a_subject_is_refused(&asked).await;
    only_transitive_levels_look_at_every_version(&asked).await;
    levels_are_kept_per_subject_with_a_default(&asked).await;
    a_level_may_be_set_by_many_at_once(&asked).await;
    errors_have_confluents_codes(&asked).await;
}

/// As processes do that start together on an empty registry.
async fn a_level_may_be_set_by_many_at_once(asked: &Asked) {
    for round in 0..10 {
        let subject = asked.subject(&format!("many{round}"));
        let set = || asked.client.set_compatibility(&subject, "FULL_TRANSITIVE");
        let (a, b, c, d) = tokio::join!(set(), set(), set(), set());
        for answer in [a, b, c, d] {
            answer.unwrap();
        }
    }
}

impl Asked {
    fn topic(&self, name: &str) -> String {
        format!("{}-{name}", self.run)
    }

    fn subject(&self, name: &str) -> String {
        format!("{}-value", self.topic(name))
    }

    async fn ask(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        ask(&self.url, method, path, body).await
    }

    async fn register(&self, subject: &str, schema: &str) -> (u16, Value) {
        let path = format!("/subjects/{subject}/versions");
        self.ask("POST", &path, &json!({ "schema": schema, "schemaType": "AVRO" })).await
    }

    async fn versions(&self, subject: &str) -> Value {
        self.ask("GET", &format!("/subjects/{subject}/versions"), &Value::Null).await.1
    }
}

/// The status and the JSON of an answer, null where there is none.
async fn ask(url: &str, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut request = http.request(method.parse().unwrap(), format!("{url}{path}"));
    if !body.is_null() {
        request = request.json(body);
    }
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap_or(Value::Null))
}

async fn an_event_comes_back_as_it_was(asked: &Asked) {
    let schema = Schema::parse_str(FIRST).unwrap();
    let value = to_value(Seen { a: 7 }).unwrap().resolve(&schema).unwrap();
    let topic = asked.topic("event");
    let bytes = asked.client.encode(&topic, FIRST, value.clone()).await.unwrap();
    assert_eq!(bytes[0], 0, "Confluent's wire format");
    // Another process knows nothing yet, and asks for the schema by its id.
    let fresh = ConfluentRegistry::new(&asked.url).unwrap();
    assert_eq!(fresh.decode(&bytes).await.unwrap(), value);
    assert_eq!(fresh.encode(&topic, FIRST, value).await.unwrap(), bytes, "the same id");

    let id = u32::from_be_bytes(bytes[1..5].try_into().unwrap());
    let latest = format!("/subjects/{}/versions/latest", asked.subject("event"));
    let (status, found) = asked.ask("GET", &latest, &Value::Null).await;
    assert_eq!((status, &found["version"], &found["id"]), (200, &json!(1), &json!(id)));
    assert_eq!(found["schema"], FIRST);
}

async fn a_schema_has_one_id_in_all_subjects(asked: &Asked) {
    let [one, other] = ["one", "other"].map(|name| asked.subject(name));
    let (status, answer) = asked.register(&one, FIRST).await;
    assert_eq!(status, 200, "{answer}");
    for subject in [&one, &other] {
        assert_eq!(asked.register(subject, FIRST).await, (200, answer.clone()));
        assert_eq!(asked.versions(subject).await, json!([1]), "registering again adds nothing");
    }
    let body = json!({ "schema": FIRST });
    let (_, found) = asked.ask("POST", &format!("/subjects/{one}"), &body).await;
    assert_eq!((&found["id"], &found["version"]), (&answer["id"], &json!(1)));
}

async fn an_unknown_id_is_poison(asked: &Asked) {
    let refused = asked.client.decode(b"\0\x7f\0\0\0\x02").await.unwrap_err();
    let Trouble::Refused(Refusal::Poison(poison)) = &refused else { panic!("{refused:?}") };
    assert_eq!(poison.reason, "unknown_schema");
}

async fn a_schema_that_breaks_a_subject_is_refused(asked: &Asked) {
    let subject = asked.subject("broken");
    asked.client.set_compatibility(&subject, "FULL_TRANSITIVE").await.unwrap();
    asked.client.register_all(&[(&subject, FIRST), (&subject, WITH_DEFAULT)]).await.unwrap();
    let (status, error) = asked.register(&subject, REQUIRED).await;
    assert_eq!((status, &error["error_code"]), (409, &json!(409)), "{error}");
    let refused = asked.client.register_all(&[(&subject, REQUIRED)]).await;
    assert!(matches!(refused, Err(Trouble::Fatal(_))), "{refused:?}");
    assert_eq!(asked.versions(&subject).await, json!([1, 2]));
}

async fn only_transitive_levels_look_at_every_version(asked: &Asked) {
    for (level, status) in [
        ("BACKWARD", 200),
        ("BACKWARD_TRANSITIVE", 409),
        ("FULL", 200),
        ("FULL_TRANSITIVE", 409),
        ("FORWARD_TRANSITIVE", 200),
        ("NONE", 200),
    ] {
        let subject = asked.subject(level);
        asked.client.register_all(&[(&subject, FIRST)]).await.unwrap();
        asked.client.set_compatibility(&subject, level).await.unwrap();
        asked.client.register_all(&[(&subject, WITH_DEFAULT)]).await.unwrap();
        assert_eq!(asked.register(&subject, REQUIRED).await.0, status, "{level}");
    }
}

async fn levels_are_kept_per_subject_with_a_default(asked: &Asked) {
    let subject = asked.subject("level");
    asked.client.register_all(&[(&subject, FIRST)]).await.unwrap();
    let own = format!("/config/{subject}");
    let with_default = format!("{own}?defaultToGlobal=true");
    for path in ["/config", &with_default] {
        let (status, level) = asked.ask("GET", path, &Value::Null).await;
        assert_eq!((status, level), (200, json!({ "compatibilityLevel": "BACKWARD" })), "{path}");
    }
    asked.client.set_compatibility(&subject, "FULL_TRANSITIVE").await.unwrap();
    let (_, level) = asked.ask("GET", &own, &Value::Null).await;
    assert_eq!(level, json!({ "compatibilityLevel": "FULL_TRANSITIVE" }));
}

async fn errors_have_confluents_codes(asked: &Asked) {
    let (there, missing) = (asked.subject("there"), asked.subject("missing"));
    asked.client.register_all(&[(&there, FIRST)]).await.unwrap();
    let no = Value::Null;
    let table = [
        ("GET", "/schemas/ids/2130706432?deleted=true".to_owned(), no.clone(), 404, 40403),
        ("GET", format!("/subjects/{missing}/versions"), no.clone(), 404, 40401),
        ("GET", format!("/subjects/{missing}/versions/1"), no.clone(), 404, 40401),
        ("GET", format!("/subjects/{there}/versions/2"), no, 404, 40402),
        ("POST", format!("/subjects/{missing}"), json!({ "schema": FIRST }), 404, 40401),
        ("POST", format!("/subjects/{there}"), json!({ "schema": WITH_DEFAULT }), 404, 40403),
        ("POST", format!("/subjects/{there}/versions"), json!({ "schema": "{" }), 422, 42201),
    ];
    for (method, path, body, status, code) in table {
        let (answered, error) = asked.ask(method, &path, &body).await;
        assert_eq!((answered, &error["error_code"]), (status, &json!(code)), "{method} {path}");
        assert!(error["message"].is_string());
    }
}

/// A question, and what is told of the answer: its status and its error code or its level.
#[derive(Debug)]
struct Difference {
    ask: (&'static str, &'static str, &'static str),
    confluent: (u16, &'static str),
    apicurio: (u16, &'static str),
}

/// `S` is a subject with one schema, `FRESH` one without any.
const DIFFERENCES: [Difference; 7] = [
    Difference {
        ask: ("GET", "/subjects/S/versions/0", ""),
        confluent: (422, "42202"),
        apicurio: (404, "40402"),
    },
    Difference {
        ask: ("GET", "/subjects/S/versions/last", ""),
        confluent: (422, "42202"),
        apicurio: (404, "40402"),
    },
    Difference {
        ask: ("POST", "/subjects/S/versions", "{}"),
        confluent: (422, "42201"),
        apicurio: (500, "0"),
    },
    Difference {
        ask: ("PUT", "/config/S", r#"{"compatibility": "SOMEHOW"}"#),
        confluent: (422, "42203"),
        apicurio: (500, "0"),
    },
    Difference {
        ask: ("GET", "/config/S", ""),
        confluent: (404, "40408"),
        apicurio: (200, r#""NONE""#),
    },
    Difference {
        ask: ("PUT", "/config/FRESH", r#"{"compatibility": "NONE"}"#),
        confluent: (200, r#""NONE""#),
        apicurio: (404, "40401"),
    },
    Difference {
        ask: ("GET", "/nothing/here", ""),
        confluent: (404, "404"),
        apicurio: (404, "null"),
    },
];

/// Holds a registry against the table.
pub(crate) async fn differs_as_told(url: &str, is_apicurio: bool) {
    let run = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let run = format!("differing{}", run.as_micros());
    let subject = format!("{run}-value");
    let client = ConfluentRegistry::new(url).unwrap();
    client.register_all(&[(&subject, FIRST)]).await.unwrap();
    for difference in &DIFFERENCES {
        let (method, path, body) = difference.ask;
        let path =
            path.replace("FRESH", &format!("{run}-fresh")).replace("/S", &format!("/{subject}"));
        let body = serde_json::from_str(body).unwrap_or(Value::Null);
        let (status, answer) = ask(url, method, &path, &body).await;
        let level = answer.get("compatibilityLevel").or(answer.get("compatibility"));
        let told = level.unwrap_or(&answer["error_code"]).to_string();
        let expected = if is_apicurio { difference.apicurio } else { difference.confluent };
        assert_eq!((status, told.as_str()), expected, "{difference:?}");
    }
}
