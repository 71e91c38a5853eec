use super::*;
use proptest::prelude::*;
use rstest::rstest;
use std::collections::BTreeMap;

fn at(hours: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_hours(hours)
}

fn endpoint(resource_id: &str, host: &str) -> Endpoint {
    Endpoint {
        resource_id: resource_id.to_owned(),
        host: host.to_owned(),
        server: host.to_owned(),
        reader: None,
        port: 5432,
        dbname: "app".into(),
        ca: None,
    }
}

fn record() -> Record {
    Record {
        database: "db-1/app".into(),
        user: User::A,
        set_at: at(0),
        endpoint: endpoint("db-1", "one").hash(),
        asked: None,
    }
}

fn facts<'a>(record: Option<&'a Record>, endpoint: &'a Endpoint) -> Facts<'a> {
    Facts {
        record,
        endpoint,
        now: at(24),
        interval: ROTATION_INTERVAL,
        asked: None,
        refused: false,
        vault: None,
        may_rotate: true,
    }
}

fn is_set(step: &Step) -> Option<(Why, User)> {
    match step {
        Step::Set { why, record } => Some((*why, record.user)),
        _ => None,
    }
}

#[test]
fn the_first_login_is_that_of_a_and_then_there_is_nothing_to_do() {
    let endpoint = endpoint("db-1", "one");
    let Step::Set { why: Why::New, record } = plan(&facts(None, &endpoint)) else { panic!("a first login") };
    assert_eq!((record.user, record.set_at), (User::A, at(24)));
    let until = at(24) + ROTATION_INTERVAL;
    assert_eq!(plan(&facts(Some(&record), &endpoint)), Step::Nothing { until });
    let written = serde_json::to_string(&record).unwrap();
    assert_eq!(Record::parse(&written), Some(record));
    assert_eq!(Record::parse("?"), None);
}

#[rstest]
#[case::too_early(|_: &mut Facts<'_>| {}, None)]
#[case::one_hour_before(|it: &mut Facts<'_>| it.now = at(30 * 24 - 1), None)]
#[case::due(|it: &mut Facts<'_>| it.now = at(30 * 24), Some(Why::Due))]
#[case::interval(|it: &mut Facts<'_>| it.interval = SignedDuration::from_hours(24), Some(Why::Due))]
#[case::asked(|it: &mut Facts<'_>| it.asked = Some("1"), Some(Why::Asked))]
#[case::refused(|it: &mut Facts<'_>| it.refused = true, Some(Why::Refused))]
#[case::refused_while_pods_roll(|it: &mut Facts<'_>| (it.refused, it.may_rotate) = (true, false), Some(Why::Refused))]
fn the_other_user_takes_over(#[case] change: fn(&mut Facts<'_>), #[case] expected: Option<Why>) {
    let (record, endpoint) = (record(), endpoint("db-1", "one"));
    let mut facts = facts(Some(&record), &endpoint);
    change(&mut facts);
    assert_eq!(is_set(&plan(&facts)), expected.map(|why| (why, User::B)));
}

#[test]
fn a_wish_is_obeyed_once() {
    let endpoint = endpoint("db-1", "one");
    let obeyed = Record { asked: Some("1".into()), ..record() };
    let again = |asked| is_set(&plan(&Facts { asked, ..facts(Some(&obeyed), &endpoint) }));
    assert_eq!(again(Some("1")), None);
    assert_eq!(again(None), None);
    assert_eq!(again(Some("2")), Some((Why::Asked, User::B)));
}

#[test]
fn a_rotation_waits_for_pods_that_use_the_user_before() {
    let (record, endpoint) = (record(), endpoint("db-1", "one"));
    let rolling = Facts { may_rotate: false, asked: Some("1"), ..facts(Some(&record), &endpoint) };
    assert_eq!(plan(&rolling), Step::Wait(Why::Asked));
}

#[test]
fn a_new_host_of_the_same_database_keeps_the_login() {
    let (record, moved) = (record(), endpoint("db-1", "two"));
    for may_rotate in [true, false] {
        let step = plan(&Facts { may_rotate, ..facts(Some(&record), &moved) });
        let expected = Record { endpoint: moved.hash(), ..record.clone() };
        assert_eq!(step, Step::Rewrite { record: expected });
    }
    // A rotation writes the endpoint as well.
    let due = Facts { now: at(9999), ..facts(Some(&record), &moved) };
    assert_eq!(is_set(&plan(&due)), Some((Why::Due, User::B)));
    let rolling = Facts { may_rotate: false, ..due };
    assert!(matches!(plan(&rolling), Step::Rewrite { .. }));
}

#[test]
fn a_login_is_given_to_the_proxy_before_pods_are_led_to_it() {
    let (record, server) = (record(), endpoint("db-1", "one"));
    let proxy = Endpoint { host: "proxy".into(), ..server.clone() };
    assert!(proxy.has_proxy() && !server.has_proxy());
    let vault = |current: Option<String>| {
        let secret = LoginSecret { current, ..LoginSecret::default() };
        Vault { logins: User::ALL.map(|user| (user, secret.clone())).into() }
    };
    let step = |vault: &Vault, endpoint: &Endpoint| {
        plan(&Facts { vault: Some(vault), ..facts(Some(&record), endpoint) })
    };
    let expected = Step::Store { record: record.clone() };
    for held in [
        None,
        Some(Record { set_at: at(1), ..record.clone() }),
        Some(Record { user: User::B, ..record.clone() }),
    ] {
        let held = vault(held.map(|it| it.version()));
        assert_eq!(step(&held, &server), expected);
        assert_eq!(step(&held, &proxy), expected);
    }
    let held = vault(Some(record.version()));
    assert!(matches!(step(&held, &proxy), Step::Rewrite { .. }));
    assert!(matches!(step(&held, &server), Step::Nothing { .. }));
    // Secrets Manager takes 32 to 64 characters.
    assert_eq!(record.version().len(), 64);
    // The host is no part of it: the login is the same.
    assert_eq!(
        record.version(),
        Record { endpoint: proxy.hash(), asked: Some("1".into()), ..record.clone() }.version()
    );
}

#[test]
fn another_database_behind_the_same_host_gets_a_login() {
    let (record, restored) = (record(), endpoint("db-2", "one"));
    assert_eq!(is_set(&plan(&facts(Some(&record), &restored))), Some((Why::AnotherDatabase, User::B)));
    let renamed = Endpoint { dbname: "other".into(), ..endpoint("db-1", "one") };
    assert_eq!(is_set(&plan(&facts(Some(&record), &renamed))), Some((Why::AnotherDatabase, User::B)));
}

/// What may happen between two looks at the world.
#[derive(Clone, Copy, Debug)]
enum Event {
    Reconcile {
        crash: Crash,
    },
    Hours(u16),
    Ask,
    HostChanges,
    DatabaseIsReplaced,
    /// Somebody else sets the password of the user in use.
    PasswordIsBroken,
    PodsRoll,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Crash {
    No,
    BeforeTheSecret,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let crash = prop_oneof![Just(Crash::No), Just(Crash::BeforeTheSecret)];
    let event = prop_oneof![
        6 => crash.prop_map(|crash| Event::Reconcile { crash }),
        2 => (1u16..1000).prop_map(Event::Hours),
        2 => Just(Event::Ask),
        1 => Just(Event::HostChanges),
        1 => Just(Event::DatabaseIsReplaced),
        1 => Just(Event::PasswordIsBroken),
        2 => Just(Event::PodsRoll),
    ];
    prop::collection::vec(event, 0..60)
}

/// What the Secret holds: the record, the host and a password.
#[derive(Clone)]
struct Secret {
    record: Record,
    host: String,
    password: u32,
}

/// Passwords by database and user, one Secret, and the pods that started with an older one.
struct World {
    passwords: BTreeMap<(String, &'static str), u32>,
    secret: Option<Secret>,
    /// Logins of pods that were started before the present content.
    old_pods: Vec<Secret>,
    endpoint: Endpoint,
    asked: u32,
    now: Timestamp,
    next: u32,
}

fn name(user: User) -> &'static str {
    match user {
        User::A => "a",
        User::B => "b",
    }
}

impl World {
    fn works(&self, secret: &Secret) -> bool {
        let Secret { record, host: _, password } = secret;
        self.passwords.get(&(record.database.clone(), name(record.user))) == Some(password)
    }

    fn step(&self) -> Step {
        let asked = self.asked.to_string();
        let here = self.secret.as_ref().filter(|it| it.record.database == self.endpoint.identity());
        plan(&Facts {
            record: self.secret.as_ref().map(|it| &it.record),
            endpoint: &self.endpoint,
            now: self.now,
            interval: ROTATION_INTERVAL,
            asked: Some(&asked),
            refused: here.is_some_and(|it| !self.works(it)),
            vault: None,
            may_rotate: self.old_pods.is_empty(),
        })
    }

    fn write(&mut self, record: Record, password: u32) {
        self.old_pods.extend(self.secret.take());
        self.secret = Some(Secret { record, host: self.endpoint.host.clone(), password });
    }

    fn reconcile(&mut self, crash: Crash) {
        match self.step() {
            Step::Nothing { .. } | Step::Wait(_) => {}
            Step::Store { .. } => unreachable!("without a vault"),
            Step::Set { why, record } => {
                let before: Vec<_> = self.old_pods.iter().chain(&self.secret).cloned().collect();
                let worked: Vec<_> = before.into_iter().filter(|it| self.works(it)).collect();
                self.next += 1;
                self.passwords.insert((record.database.clone(), name(record.user)), self.next);
                if let Some(secret) = &self.secret {
                    let in_use = (&secret.record.database, secret.record.user);
                    assert!(
                        in_use != (&record.database, record.user),
                        "the user in use was given a password"
                    );
                }
                if matches!(why, Why::Due | Why::Asked) {
                    assert!(worked.iter().all(|it| self.works(it)), "a rotation locked pods out");
                }
                if crash == Crash::No {
                    self.write(record, self.next);
                }
            }
            Step::Rewrite { record } => {
                if crash == Crash::No {
                    let password = self.secret.as_ref().expect("a Secret to rewrite").password;
                    self.write(record, password);
                }
            }
        }
    }

    fn happens(&mut self, event: Event) {
        match event {
            Event::Reconcile { crash } => self.reconcile(crash),
            Event::Hours(hours) => self.now += SignedDuration::from_hours(hours.into()),
            Event::Ask => self.asked += 1,
            Event::HostChanges => self.endpoint.host.push('x'),
            Event::DatabaseIsReplaced => self.endpoint.resource_id.push('x'),
            Event::PasswordIsBroken => {
                if let Some(Secret { record, .. }) = &self.secret {
                    self.passwords.insert((record.database.clone(), name(record.user)), 0);
                }
            }
            Event::PodsRoll => self.old_pods.clear(),
        }
    }
}

proptest! {
    #[test]
    fn whatever_happens_the_secret_ends_with_a_login_that_works(events in events()) {
        let mut world = World {
            passwords: BTreeMap::new(),
            secret: None,
            old_pods: Vec::new(),
            endpoint: endpoint("db-1", "one"),
            asked: 0,
            now: at(0),
            next: 0,
        };
        for event in events {
            world.happens(event);
        }
        for _ in 0..3 {
            world.reconcile(Crash::No);
            world.happens(Event::PodsRoll);
        }
        let secret = world.secret.clone().expect("a Secret");
        prop_assert!(world.works(&secret));
        prop_assert_eq!(&secret.host, &world.endpoint.host);
        prop_assert_eq!(&secret.record.database, &world.endpoint.identity());
        prop_assert!(matches!(world.step(), Step::Nothing { .. }), "it converges: {:?}", world.step());
    }
}
