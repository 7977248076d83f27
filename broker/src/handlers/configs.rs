//! Settings of topics: shown, and changed while the broker runs.

use kafka_protocol::{
    ResponseError,
    messages::{
        AlterConfigsRequest, AlterConfigsResponse, DescribeConfigsRequest, DescribeConfigsResponse,
        IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse,
        alter_configs_response::AlterConfigsResourceResponse as AlteredResource,
        describe_configs_request::DescribeConfigsResource,
        describe_configs_response::{
            DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym,
        },
        incremental_alter_configs_request::AlterableConfig,
        incremental_alter_configs_response::AlterConfigsResourceResponse,
    },
};

use super::{code, text};
use crate::{
    config::{self, Overrides, SETTINGS, Setting},
    node::Node,
};

const TOPIC: i8 = 2;
const SOURCE_TOPIC: i8 = 1;
const SOURCE_DEFAULT: i8 = 5;
const SET: i8 = 0;
const DELETE: i8 = 1;

pub(super) fn describe(node: &Node, request: DescribeConfigsRequest) -> DescribeConfigsResponse {
    let results = request.resources.into_iter().map(|resource| {
        let overrides = overrides(node, &resource);
        let error = code(&overrides);
        let wanted = |setting: &Setting| match &resource.configuration_keys {
            None => true,
            Some(wanted) => wanted.iter().any(|wanted| wanted.as_str() == setting.name),
        };
        let described = overrides.ok().flatten().map(|overrides| {
            let settings = SETTINGS.iter().filter(|setting| wanted(setting));
            settings.map(|setting| describe_setting(setting, &overrides)).collect()
        });
        DescribeConfigsResult::default()
            .with_error_code(error)
            .with_resource_type(resource.resource_type)
            .with_resource_name(resource.resource_name)
            .with_configs(described.unwrap_or_default())
    });
    DescribeConfigsResponse::default().with_results(results.collect())
}

fn describe_setting(setting: &Setting, overrides: &Overrides) -> DescribeConfigsResourceResult {
    let own = overrides.contains_key(setting.name);
    let source = if own { SOURCE_TOPIC } else { SOURCE_DEFAULT };
    let value = Some(text(config::value(overrides, setting)));
    let synonym = DescribeConfigsSynonym::default()
        .with_name(text(setting.name))
        .with_value(value.clone())
        .with_source(source);
    DescribeConfigsResourceResult::default()
        .with_name(text(setting.name))
        .with_value(value)
        .with_config_source(source)
        .with_config_type(setting.kind as i8)
        .with_synonyms(vec![synonym])
        .with_documentation(Some(text(setting.means)))
}

/// A topic's own settings. Brokers have none that a client could see or change.
fn overrides(
    node: &Node,
    resource: &DescribeConfigsResource,
) -> Result<Option<Overrides>, ResponseError> {
    if resource.resource_type != TOPIC {
        return Ok(None);
    }
    let view = node.metadata.view();
    let spec = view.topics.get(resource.resource_name.as_str());
    Ok(Some(spec.ok_or(ResponseError::UnknownTopicOrPartition)?.config.clone()))
}

/// Changes the settings named and leaves the others.
pub(super) fn alter_some(
    node: &Node,
    request: IncrementalAlterConfigsRequest,
) -> IncrementalAlterConfigsResponse {
    let responses = request.resources.into_iter().map(|resource| {
        let (kind, name) = (resource.resource_type, resource.resource_name);
        let changed = alter(node, kind, &name, request.validate_only, |overrides| {
            resource.configs.iter().try_for_each(|change| apply(overrides, change))
        });
        AlterConfigsResourceResponse::default()
            .with_error_code(code(&changed.as_ref().map_err(|(error, _)| *error)))
            .with_error_message(changed.err().map(|(_, why)| text(why)))
            .with_resource_type(kind)
            .with_resource_name(name)
    });
    IncrementalAlterConfigsResponse::default().with_responses(responses.collect())
}

fn apply(overrides: &mut Overrides, change: &AlterableConfig) -> Result<(), ResponseError> {
    match change.config_operation {
        SET => {
            let value = change.value.as_deref().ok_or(ResponseError::InvalidConfig)?;
            overrides.insert(change.name.to_string(), value.to_owned());
        }
        DELETE => {
            overrides.remove(change.name.as_str());
        }
        // Appending and subtracting are for lists, and no list here takes a second value.
        _ => return Err(ResponseError::InvalidConfig),
    }
    Ok(())
}

/// Replaces all settings by those named.
pub(super) fn alter_all(node: &Node, request: AlterConfigsRequest) -> AlterConfigsResponse {
    let responses = request.resources.into_iter().map(|resource| {
        let (kind, name) = (resource.resource_type, resource.resource_name);
        let configs = resource.configs.into_iter();
        let wanted: Overrides = configs
            .map(|it| (it.name.to_string(), it.value.map_or(String::new(), |v| v.to_string())))
            .collect();
        let changed = alter(node, kind, &name, request.validate_only, |overrides| {
            *overrides = wanted;
            Ok(())
        });
        AlteredResource::default()
            .with_error_code(code(&changed.as_ref().map_err(|(error, _)| *error)))
            .with_error_message(changed.err().map(|(_, why)| text(why)))
            .with_resource_type(kind)
            .with_resource_name(name)
    });
    AlterConfigsResponse::default().with_responses(responses.collect())
}

fn alter(
    node: &Node,
    kind: i8,
    name: &str,
    validate_only: bool,
    change: impl FnOnce(&mut Overrides) -> Result<(), ResponseError>,
) -> Result<(), (ResponseError, String)> {
    if kind != TOPIC {
        let why = "only topics have settings that can be changed; the broker's are its options";
        return Err((ResponseError::InvalidRequest, why.to_owned()));
    }
    let mut complaint = None;
    let changed = node.topics.configure(&node.metadata, name, validate_only, |overrides| {
        change(overrides)?;
        complaint = config::complaint(overrides);
        Ok(())
    });
    changed.map_err(|error| (error, complaint.unwrap_or_else(|| error.to_string())))
}
