//! What a seed chooses to happen: platforms, their users' edits and mistakes, clips, faults and deaths.

use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use serde_json::{Value, json};
use std::time::Duration;

/// Password of a user's own, which is nowhere but in Secrets.
pub const MARK: &str = "MARKED-b7f2e1c09d5a";
/// Platforms of a life at the most.
pub const PLATFORMS: usize = 3;

/// How long a database in AWS takes at the most until it has a login.
const DATABASE: Duration = Duration::from_mins(15);

/// What a user asks of a platform.
#[derive(Clone, Debug)]
pub struct Wish {
    /// Version of its image.
    frontend: Option<u32>,
    backend: Option<Backend>,
    services: u32,
    database: Option<&'static str>,
    cache: Option<&'static str>,
    transcoding: Option<Transcoding>,
    suspend: bool,
    mistake: Option<Mistake>,
    /// What is in AWS, whatever the fields above say.
    in_aws: InAws,
}

/// Parts in AWS. Once there, they stay there, as the API demands.
#[derive(Clone, Debug, Default)]
struct InAws {
    database: Option<Database>,
    cache: Option<ElastiCache>,
}

#[derive(Clone, Debug)]
struct Database {
    deletion_policy: &'static str,
    class: &'static str,
}

#[derive(Clone, Debug)]
struct ElastiCache {
    deletion_policy: &'static str,
    replicas: u32,
}

impl InAws {
    fn new(rng: &mut StdRng) -> Self {
        let policy = |rng: &mut StdRng| *["Snapshot", "Retain", "Delete"].choose(rng).unwrap();
        Self {
            database: rng
                .random_bool(0.15)
                .then(|| Database { deletion_policy: policy(rng), class: "db.t4g.medium" }),
            cache: rng
                .random_bool(0.15)
                .then(|| ElastiCache { deletion_policy: policy(rng), replicas: rng.random_range(1..=2) }),
        }
    }

    fn edit(&mut self, rng: &mut StdRng) {
        if let Some(database) = &mut self.database {
            database.class = ["db.t4g.medium", "db.r7g.large"].choose(rng).unwrap();
        }
        if let Some(cache) = &mut self.cache {
            cache.replicas = rng.random_range(1..=3);
        }
    }

    fn write(&self, spec: &mut Value) {
        if let Some(Database { deletion_policy, class }) = &self.database {
            spec["database"] = json!({
                "provider": "AWS", "deletionPolicy": deletion_policy,
                "aws": {"instanceClass": class, "maintenance": {"restarts": "Immediately"}},
            });
        }
        if let Some(ElastiCache { deletion_policy, replicas }) = &self.cache {
            spec["cache"] =
                json!({"provider": "AWS", "deletionPolicy": deletion_policy, "aws": {"replicas": replicas}});
        }
    }
}

#[derive(Clone, Debug)]
struct Backend {
    image: u32,
    replicas: u32,
    autoscales: bool,
    /// Whether it reads a Secret of the user's.
    reads: bool,
}

#[derive(Clone, Debug)]
struct Transcoding {
    slots: u32,
    attempts: u32,
    visibility: u32,
}

/// What a user gets wrong, and mends in the end.
#[derive(Clone, Copy, Debug)]
enum Mistake {
    /// A role that the administrator does not admit.
    ForbiddenRole,
    /// A pod template that is none.
    NoTemplate,
}

/// What happens.
#[derive(Clone, Debug)]
pub enum Act {
    /// A user applies a platform.
    Apply { platform: usize, spec: Value },
    /// A user deletes a platform.
    Delete { platform: usize },
    /// A user makes or deletes the Secret that platforms name.
    Secret { is_there: bool },
    /// A clip is uploaded.
    Upload { platform: usize, clip: String },
    /// Every message that waits comes a second time, as S3 may do with its events.
    TellAgain { platform: usize },
    /// A message that nobody understands.
    Garbage { platform: usize, body: String },
    /// Someone edits a Deployment by hand: the n-th that there is.
    Edit { nth: usize, how: usize },
    /// Someone deletes an object of a platform: the n-th that there is.
    Remove { nth: usize },
    /// A node dies, with every n-th pod.
    NodeDies { nth: usize },
    /// A replica's process dies, and is started again after that time.
    Kill { replica: usize, down: Duration },
    /// A replica is stopped, as by an upgrade.
    Stop { replica: usize, down: Duration },
    /// Nothing of a replica reaches anyone for that time.
    CutOff { replica: usize, lasts: Duration },
    /// A replica's watches tell everything so late: its API server is behind.
    Lag { replica: usize, by: Duration },
    /// A replica's watches tell everything twice, or once again.
    Stutter { replica: usize, on: bool },
    /// A replica's watches end; what happened may be forgotten, so that it lists again.
    Break { replica: usize, forget: bool },
}

/// A life, before it is lived.
#[derive(Debug)]
pub struct Script {
    /// What happens when, counted from the beginning; sorted.
    pub acts: Vec<(Duration, Act)>,
    /// How many platforms there are.
    pub platforms: usize,
    /// How many replicas of the operator.
    pub replicas: usize,
    /// Share of requests to Kubernetes that something befalls.
    pub kubernetes: f64,
    /// Share of calls to AWS that something befalls.
    pub aws: f64,
    /// When acts and faults are over.
    pub calm: Duration,
    /// The administrator's resync.
    pub resync: Duration,
    /// What the users ask for in the end; none: the platform is deleted.
    pub last: Vec<Option<Value>>,
    /// What the user of a platform that was deleted applies where a mistake, made since, holds the deletion up.
    pub mended: Vec<Option<Value>>,
}

/// Names of platforms.
pub fn name(platform: usize) -> String {
    ["tv", "radio", "cinema"][platform].to_owned()
}

impl Wish {
    fn new(rng: &mut StdRng) -> Self {
        let transcoding = rng.random_bool(0.6).then(|| Transcoding {
            slots: rng.random_range(1..=3),
            attempts: rng.random_range(1..=3),
            visibility: *[30, 60, 300].choose(rng).unwrap(),
        });
        let backend = rng.random_bool(0.7).then(|| Backend {
            image: 1,
            replicas: rng.random_range(1..=3),
            autoscales: rng.random_bool(0.3),
            reads: rng.random_bool(0.4),
        });
        Self {
            frontend: rng.random_bool(0.6).then_some(1),
            backend,
            services: rng.random_range(0..=1),
            database: [None, Some("Embedded"), Some("External")].choose(rng).copied().flatten(),
            cache: [None, None, Some("Embedded"), Some("External")].choose(rng).copied().flatten(),
            transcoding,
            suspend: false,
            mistake: None,
            in_aws: InAws::default(),
        }
    }

    /// Changes one thing, as the API admits it.
    fn edit(&mut self, rng: &mut StdRng) {
        match rng.random_range(0..9) {
            0 => self.frontend = Some(self.frontend.unwrap_or(0) + 1),
            1 => self.frontend = None,
            2 => match &mut self.backend {
                Some(backend) => backend.image += 1,
                None => self.backend = Self::new(rng).backend,
            },
            3 => {
                if let Some(backend) = &mut self.backend {
                    backend.replicas = rng.random_range(1..=4);
                    backend.autoscales = rng.random_bool(0.5);
                }
            }
            4 => self.services = rng.random_range(0..=2),
            5 => self.cache = [None, Some("Embedded"), Some("External")].choose(rng).copied().flatten(),
            6 => match &mut self.transcoding {
                Some(transcoding) => transcoding.slots = rng.random_range(1..=3),
                None => self.transcoding = Self::new(rng).transcoding,
            },
            7 => self.suspend = !self.suspend,
            _ => {
                self.mistake = [None, Some(Mistake::ForbiddenRole), Some(Mistake::NoTemplate)]
                    .choose(rng)
                    .copied()
                    .flatten();
            }
        }
    }

    /// Without what keeps it from converging.
    fn mended(&self) -> Self {
        Self { suspend: false, mistake: None, ..self.clone() }
    }

    fn spec(&self) -> Value {
        let mut spec = json!({"aws": {"region": "eu-central-1"}});
        if let Some(version) = self.frontend {
            spec["frontend"] = json!({"image": format!("frontend:{version}"), "replicas": 1});
        }
        if let Some(Backend { image, replicas, autoscales, reads }) = &self.backend {
            spec["backend"] = json!({"image": format!("backend:{image}")});
            if *autoscales {
                spec["backend"]["autoscaling"] =
                    json!({"minReplicas": replicas, "maxReplicas": replicas + 2});
            } else {
                spec["backend"]["replicas"] = json!(replicas);
            }
            if *reads {
                let key = json!({"secretKeyRef": {"name": "login", "key": "password"}});
                spec["backend"]["env"] = json!([{"name": "TOKEN", "valueFrom": key}]);
            }
        }
        if self.services > 0 {
            let service = |n| json!({"name": format!("srs-{n}"), "image": "srs:1", "replicas": 1});
            spec["services"] = (0..self.services).map(service).collect();
        }
        for (part, provider) in [("database", self.database), ("cache", self.cache)] {
            if let Some(provider) = provider {
                spec[part] = json!({"provider": provider});
                if provider == "External" {
                    spec[part]["external"] = json!({"secretRef": {"name": "login"}});
                }
            }
        }
        self.in_aws.write(&mut spec);
        if let Some(Transcoding { slots, attempts, visibility }) = &self.transcoding {
            spec["transcoding"] = json!({
                "maxConcurrentJobs": slots, "maxAttempts": attempts, "drainTimeout": "60s",
                "queue": {"visibilityTimeout": format!("{visibility}s")},
            });
        }
        if self.suspend {
            spec["suspend"] = json!(true);
        }
        match self.mistake {
            Some(Mistake::ForbiddenRole) => {
                spec["aws"]["roleARN"] = json!("arn:aws:iam::999999999999:role/other");
            }
            Some(Mistake::NoTemplate) if spec.get("frontend").is_some() => {
                spec["frontend"]["podTemplate"] = json!({"spec": {"containers": "none"}});
            }
            _ => {}
        }
        spec
    }
}

/// The rest of the life of one platform.
struct Platform {
    wish: Wish,
    is_there: bool,
    clips: u32,
}

impl Script {
    /// How many platforms and replicas there are, which requests are counted by.
    pub fn size(&self) -> u64 {
        (self.platforms + self.replicas) as u64
    }

    /// The life that a seed chooses.
    pub fn new(rng: &mut StdRng) -> Self {
        let platforms = *[1, 1, 1, 1, 1, 1, 2, 2, PLATFORMS].choose(rng).unwrap();
        let replicas = *[1, 1, 2].choose(rng).unwrap();
        let calm = Duration::from_secs(rng.random_range(60..=300));
        let share = |rng: &mut StdRng| *[0.0, 0.02, 0.1, 0.3].choose(rng).unwrap();
        let (kubernetes, aws) = (share(rng), share(rng));
        let resync = Duration::from_secs(*[60, 300, 600].choose(rng).unwrap());
        // What came to the generator later draws elsewhere, so that a seed keeps the life that it had.
        let mut later = StdRng::from_rng(&mut rng.clone());
        let mut acts = vec![(Duration::ZERO, Act::Secret { is_there: rng.random_bool(0.9) })];
        let mut all = Vec::new();
        for platform in 0..platforms {
            let wish = Wish { in_aws: InAws::new(&mut later), ..Wish::new(rng) };
            let at = Duration::from_secs(rng.random_range(0..30));
            acts.push((at, Act::Apply { platform, spec: wish.spec() }));
            all.push(Platform { wish, is_there: true, clips: 0 });
        }
        let count = rng.random_range(4..=20);
        let mut times: Vec<u64> =
            (0..count).map(|_| rng.random_range(30_000..calm.as_millis() as u64)).collect();
        times.sort_unstable();
        for at in times {
            let platform = rng.random_range(0..platforms);
            if later.random_bool(0.2) {
                all[platform].wish.in_aws.edit(&mut later);
            }
            let act = all[platform].act(platform, replicas, rng);
            acts.push((Duration::from_millis(at), act));
        }
        acts.sort_by_key(|(at, _)| *at);
        // A database in AWS takes longer to come than the acts take; else faults would be over before its first login.
        let in_aws = all.iter().any(|it| it.wish.in_aws.database.is_some());
        let calm = if in_aws && later.random_bool(0.5) { calm + DATABASE } else { calm };
        let last = all.iter().map(|it| it.is_there.then(|| it.wish.mended().spec())).collect();
        let errs = |it: &&Platform| !it.is_there && it.wish.mistake.is_some();
        let mended = all.iter().map(|it| Some(it).filter(errs).map(|it| it.wish.mended().spec())).collect();
        Self { acts, platforms, replicas, kubernetes, aws, calm, resync, last, mended }
    }
}

impl Platform {
    fn act(&mut self, platform: usize, replicas: usize, rng: &mut StdRng) -> Act {
        let replica = rng.random_range(0..replicas);
        let seconds = |rng: &mut StdRng, most: u64| Duration::from_millis(rng.random_range(0..most * 1000));
        let nth = rng.random_range(0..1000);
        match rng.random_range(0..28) {
            0..4 => {
                if self.is_there {
                    self.wish.edit(rng);
                }
                self.is_there = true;
                Act::Apply { platform, spec: self.wish.spec() }
            }
            4 => {
                self.is_there = false;
                Act::Delete { platform }
            }
            5..12 => {
                self.clips += 1;
                let fate =
                    ["well", "well", "well", "fails-1", "fails-2", "fails-9", "broken"].choose(rng).unwrap();
                Act::Upload { platform, clip: format!("{}-{}.{fate}.mp4", name(platform), self.clips) }
            }
            12 => Act::TellAgain { platform },
            13 => {
                self.clips += 1;
                let form = ["not json", "{}", "[1]", "{\"Records\": [{\"eventSource\": \"aws:s3\"}]}"]
                    .choose(rng)
                    .unwrap();
                // Blanks tell those of one form apart.
                Act::Garbage { platform, body: format!("{form}{}", " ".repeat(self.clips as usize)) }
            }
            14 => Act::Secret { is_there: rng.random_bool(0.6) },
            15 => Act::Edit { nth, how: rng.random_range(0..4) },
            16 => Act::Remove { nth },
            17 => Act::NodeDies { nth: rng.random_range(1..4) },
            18..21 => Act::Kill { replica, down: seconds(rng, 40) },
            21 => Act::Stop { replica, down: seconds(rng, 20) },
            22 => Act::CutOff { replica, lasts: seconds(rng, 40) },
            23 | 24 => {
                Act::Lag { replica, by: if rng.random_bool(0.3) { Duration::ZERO } else { seconds(rng, 60) } }
            }
            25 => Act::Stutter { replica, on: rng.random() },
            _ => Act::Break { replica, forget: rng.random() },
        }
    }
}
