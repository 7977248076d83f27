//! The OpenAPI document: what the routes say of themselves, and what holds for all of them.

use crate::{
    codes::{Code, Kind},
    problem::{Body, Problem},
    routes,
};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        self, AllOfBuilder, ContentBuilder, InfoBuilder, LicenseBuilder, ObjectBuilder, OpenApi,
        OpenApiBuilder, Ref, RefOr, ResponseBuilder, Schema, Type,
        example::{Example, ExampleBuilder},
        header::HeaderBuilder,
        path::Operation,
        tag::TagBuilder,
    },
};

const DESCRIPTION: &str = "\
Footage in; a verified blurred recording, and answers to \"where was that?\", out.

Until accounts exist the API answers on loopback only, and whoever can reach it sees everything.

Every error is an `application/problem+json` document with a `code` for programs, a `detail` with \
the cause and a `next_step` for people. Each operation lists the codes it can answer with, in \
`x-problem-codes` and by status; `docs/problems.md` in the repository is the table of all. A path \
that is not here is answered with 404 `no_such_route`, a method that a path does not take with 405 \
`wrong_method` and an `Allow` header. HEAD is answered wherever GET is. Where an operation \
takes query parameters, unknown ones are refused. Times are milliseconds since 1970, unless their name says seconds.";

/// Under this name a route lists its codes, in lists as deep as is handy.
const CODES: &str = "x-problem-codes";

/// The document as it is served and kept in `docs/openapi.json`.
pub(crate) fn text() -> Bytes {
    static TEXT: LazyLock<Bytes> = LazyLock::new(|| {
        let (_, document) = routes().split_for_parts();
        // By way of a value, whose members are sorted: the same bytes every time.
        let value = serde_json::to_value(completed(document)).unwrap_or_default();
        format!("{value:#}\n").into()
    });
    TEXT.clone()
}

/// What stands above the routes.
pub(crate) fn outline() -> OpenApi {
    let tag = |name: &str, description: &str| {
        TagBuilder::new().name(name).description(Some(description)).build()
    };
    let license = LicenseBuilder::new().name("Apache-2.0").identifier(Some("Apache-2.0")).build();
    let info = InfoBuilder::new()
        .title("reelmill")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(DESCRIPTION))
        .license(Some(license));
    // No route names it: it comes with every answer of an error.
    let mut schemas = vec![(Body::name().into_owned(), Body::schema())];
    Body::schemas(&mut schemas);
    let components = openapi::ComponentsBuilder::new().schemas_from_iter(schemas);
    OpenApiBuilder::new()
        .info(info.build())
        .tags(Some([
            tag("uploads", "Footage comes in."),
            tag("videos", "What became of it, and the verified recording."),
            tag("search", "Where was that?"),
            tag("operations", "For machines that watch."),
            tag("documentation", "This description."),
        ]))
        .components(Some(components.build()))
        .build()
}

/// Adds to every operation the answers that are problems.
fn completed(mut document: OpenApi) -> OpenApi {
    for item in document.paths.paths.values_mut() {
        for operation in [&mut item.get, &mut item.head].into_iter().flatten() {
            add_problems(operation, false);
        }
        let changing = [&mut item.post, &mut item.put, &mut item.patch, &mut item.delete];
        for operation in changing.into_iter().flatten() {
            add_problems(operation, true);
        }
    }
    let examples = Code::all().into_iter().map(|code| (word(code), example(code).into()));
    document.components.get_or_insert_default().examples.extend(examples);
    document
}

fn add_problems(operation: &mut Operation, changes: bool) {
    // What the guard around all routes answers.
    let mut codes = BTreeSet::from([
        Code::ForeignHost,
        Code::UriTooLong,
        Code::HeadersTooLarge,
        Code::Internal,
    ]);
    if changes {
        codes.insert(Code::ForeignOrigin);
    }
    let extensions = operation.extensions.get_or_insert_default();
    if let Some(listed) = extensions.get(CODES) {
        flatten(listed, &mut codes);
    }
    extensions.insert(CODES.to_owned(), json!(codes));
    let mut by_status: BTreeMap<u16, Vec<Code>> = BTreeMap::new();
    for &code in &codes {
        by_status.entry(code.kind().status).or_default().push(code);
    }
    for (status, codes) in by_status {
        operation.responses.responses.insert(status.to_string(), answer(status, &codes));
    }
}

fn flatten(listed: &Value, codes: &mut BTreeSet<Code>) {
    match listed {
        Value::Array(parts) => parts.iter().for_each(|part| flatten(part, codes)),
        word => codes.extend(Code::deserialize(word)),
    }
}

/// The answer of one status: the codes it can have, each with an example.
fn answer(status: u16, codes: &[Code]) -> RefOr<openapi::Response> {
    let mut description = String::new();
    let mut examples = Vec::new();
    for &code in codes {
        let Kind { title, next_step, .. } = code.kind();
        description.push_str(&format!("- `{}`: {title}. Next: {next_step}.\n", word(code)));
        let place = Ref::new(format!("#/components/examples/{}", word(code)));
        examples.push((word(code), RefOr::<Example>::Ref(place)));
    }
    let property = |kind: Type, values: Vec<Value>| {
        ObjectBuilder::new().schema_type(kind).enum_values(Some(values))
    };
    let narrowed = ObjectBuilder::new()
        .property("code", property(Type::String, codes.iter().map(|code| json!(code)).collect()))
        .property("status", property(Type::Integer, vec![json!(status)]));
    let schema = AllOfBuilder::new().item(Ref::from_schema_name(Body::name())).item(narrowed);
    let content = ContentBuilder::new()
        .schema(Some(Schema::AllOf(schema.build())))
        .examples_from_iter(examples);
    let mut response = ResponseBuilder::new()
        .description(description.trim_end())
        .content("application/problem+json", content.build());
    let header = |description: &str, kind: Type| {
        let schema = ObjectBuilder::new().schema_type(kind).build();
        HeaderBuilder::new().schema(Some(schema)).description(Some(description)).build()
    };
    if status == 503 || codes.contains(&Code::NotReady) {
        let told = "Seconds after which it is worth asking again.";
        response = response.header("Retry-After", header(told, Type::Integer));
    }
    if codes.contains(&Code::RangeNotSatisfiable) {
        let told = "`bytes */length`: how long the recording is.";
        response = response.header("Content-Range", header(told, Type::String));
    }
    response.build().into()
}

fn example(code: Code) -> Example {
    let Kind { title, when, .. } = code.kind();
    let value = serde_json::to_value(Problem::new(code, when).document()).unwrap_or_default();
    ExampleBuilder::new().summary(title).value(Some(value)).build()
}

fn word(code: Code) -> String {
    json!(code).as_str().unwrap_or_default().to_owned()
}
