//! Engines, their versions and parameter group families; node types.

use super::fault::invalid_value;
use crate::aws::{
    fault::Fault,
    query::{Answer, Parameters, Xml, page},
};
use std::fmt;

/// What a cache runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Engine {
    /// Redis OSS.
    Redis,
    /// Valkey.
    Valkey,
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Redis => "redis",
            Self::Valkey => "valkey",
        })
    }
}

impl Engine {
    /// Reads the parameter `Engine`.
    pub(super) fn read(text: &str) -> Result<Self, Fault> {
        match text.to_ascii_lowercase().as_str() {
            "redis" => Ok(Self::Redis),
            "valkey" => Ok(Self::Valkey),
            _ => Err(invalid_value(format!("Invalid cache engine: {text}. Must be redis or valkey"))),
        }
    }
}

/// An engine's release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Release {
    /// What it is a release of.
    pub engine: Engine,
    /// As callers ask for it: `7.1`.
    pub series: &'static str,
    /// As describes answer it: `7.1.0`.
    pub version: &'static str,
    /// Family of its parameter groups.
    pub family: &'static str,
}

/// Oldest first, Valkey after the Redis OSS that it can take over from (ElastiCache User Guide, "Supported
/// engines and versions").
pub const RELEASES: [Release; 7] = [
    release(Engine::Redis, "5.0", "5.0.6", "redis5.0"),
    release(Engine::Redis, "6.2", "6.2.6", "redis6.x"),
    release(Engine::Redis, "7.0", "7.0.7", "redis7"),
    release(Engine::Redis, "7.1", "7.1.0", "redis7"),
    release(Engine::Valkey, "7.2", "7.2.6", "valkey7"),
    release(Engine::Valkey, "8.0", "8.0.1", "valkey8"),
    release(Engine::Valkey, "8.1", "8.1.0", "valkey8"),
];

const fn release(
    engine: Engine,
    series: &'static str,
    version: &'static str,
    family: &'static str,
) -> Release {
    Release { engine, series, version, family }
}

impl Release {
    /// The release that a version names: `7`, `7.1` or `7.1.0`; the engine's newest where none is named.
    pub(super) fn find(engine: Engine, version: Option<&str>) -> Result<Self, Fault> {
        let named = |release: &&Self| {
            release.engine == engine
                && version.is_none_or(|version| {
                    version == release.series
                        || version == release.version
                        || release.series.split('.').next() == Some(version)
                        || (version == "6.x" && release.series == "6.2")
                })
        };
        RELEASES.iter().rev().find(named).copied().ok_or_else(|| {
            invalid_value(format!("Cannot find version {} for {engine}", version.unwrap_or_default()))
        })
    }

    /// Its place in the order of upgrades.
    pub(super) fn rank(self) -> usize {
        RELEASES.iter().position(|known| *known == self).unwrap_or_default()
    }
}

/// Whether a family of parameter groups exists.
pub(super) fn is_family(family: &str) -> bool {
    RELEASES.iter().any(|release| release.family == family)
}

/// Memory of a node type in MB (ElastiCache User Guide, "Supported node types").
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NodeType {
    /// Such as `cache.t4g.micro`.
    pub name: &'static str,
    /// In MB.
    pub memory: u32,
}

/// The node types, by family and size.
pub const NODE_TYPES: [NodeType; 38] = [
    node("cache.t3.micro", 512),
    node("cache.t3.small", 1_400),
    node("cache.t3.medium", 3_160),
    node("cache.t4g.micro", 512),
    node("cache.t4g.small", 1_400),
    node("cache.t4g.medium", 3_160),
    node("cache.m5.large", 6_530),
    node("cache.m5.xlarge", 13_240),
    node("cache.m5.2xlarge", 26_670),
    node("cache.m5.4xlarge", 53_510),
    node("cache.m6g.large", 6_530),
    node("cache.m6g.xlarge", 13_240),
    node("cache.m6g.2xlarge", 26_670),
    node("cache.m6g.4xlarge", 53_510),
    node("cache.m7g.large", 6_530),
    node("cache.m7g.xlarge", 13_240),
    node("cache.m7g.2xlarge", 26_670),
    node("cache.m7g.4xlarge", 53_510),
    node("cache.m7g.8xlarge", 106_110),
    node("cache.r5.large", 13_380),
    node("cache.r5.xlarge", 26_950),
    node("cache.r5.2xlarge", 54_090),
    node("cache.r5.4xlarge", 108_360),
    node("cache.r6g.large", 13_380),
    node("cache.r6g.xlarge", 26_950),
    node("cache.r6g.2xlarge", 54_090),
    node("cache.r6g.4xlarge", 108_360),
    node("cache.r6g.8xlarge", 214_830),
    node("cache.r6gd.xlarge", 26_950),
    node("cache.r6gd.2xlarge", 54_090),
    node("cache.r6gd.4xlarge", 108_360),
    node("cache.r7g.large", 13_380),
    node("cache.r7g.xlarge", 26_950),
    node("cache.r7g.2xlarge", 54_090),
    node("cache.r7g.4xlarge", 108_360),
    node("cache.r7g.8xlarge", 214_830),
    node("cache.r7g.12xlarge", 325_520),
    node("cache.r7g.16xlarge", 429_650),
];

const fn node(name: &'static str, memory: u32) -> NodeType {
    NodeType { name, memory }
}

impl NodeType {
    pub(super) fn find(name: &str) -> Result<Self, Fault> {
        let found = NODE_TYPES.iter().find(|known| known.name == name);
        found.copied().ok_or_else(|| invalid_value(format!("Invalid Cache Node Type: {name}")))
    }

    /// Whether it tiers data to SSD, which can't be turned off.
    pub(super) fn tiers_data(self) -> bool {
        self.name.starts_with("cache.r6gd.")
    }
}

pub(super) fn describe_versions(parameters: &Parameters) -> Result<Answer, Fault> {
    let (engine, version, family) = (
        parameters.get("Engine"),
        parameters.get("EngineVersion"),
        parameters.get("CacheParameterGroupFamily"),
    );
    let default_only = parameters.boolean("DefaultOnly")?.unwrap_or(false);
    let is_default = |release: &Release| Release::find(release.engine, None) == Ok(*release);
    let matching = RELEASES.iter().enumerate().filter(|(_, release)| {
        engine.is_none_or(|engine| engine == release.engine.to_string())
            && version.is_none_or(|version| version == release.series || version == release.version)
            && family.is_none_or(|family| family == release.family)
            && (!default_only || is_default(release))
    });
    let page = page(parameters, matching.map(|(rank, release)| (format!("{rank:03}"), release)))?;
    let versions = page.items.into_iter().map(|release| {
        Xml::new()
            .text("Engine", release.engine)
            .text("EngineVersion", release.version)
            .text("CacheParameterGroupFamily", release.family)
            .text("CacheEngineDescription", release.engine)
            .text("CacheEngineVersionDescription", format!("{} version {}", release.engine, release.version))
    });
    let xml = Xml::new().list("CacheEngineVersions", "CacheEngineVersion", versions);
    Ok(xml.optional("Marker", page.marker).into())
}
