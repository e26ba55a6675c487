//! When is an exchange made anew, and for whom is what came of it?

use super::*;
use futures::FutureExt;
use futures::future::BoxFuture;
use std::sync::atomic::{AtomicU64, Ordering};

/// Clouds that count, and give passwords of this many seconds.
#[derive(Default)]
struct Cloud {
    asked: AtomicU64,
    seconds: AtomicU64,
}

impl Clouds for Cloud {
    fn login<'a>(&'a self, identity: &'a Identity) -> BoxFuture<'a, Result<Login, CallError>> {
        let number = self.asked.fetch_add(1, Ordering::Relaxed);
        let lasts = Duration::from_secs(self.seconds.load(Ordering::Relaxed));
        let password = format!("{number} for {}", identity.host);
        async move { Ok(Login { username: "user".into(), password, lasts }) }.boxed()
    }
}

fn identity(host: &str) -> Identity {
    let exchange = gowindows_model::wire::identity::Exchange::Google {
        provider: "//iam.googleapis.com/p".into(),
        account: None,
        sts: "https://sts".into(),
        credentials: "https://iam".into(),
    };
    Identity { host: host.into(), namespace: "team".into(), service_account: "push".into(), audience: "cloud".into(), exchange }
}

#[tokio::test(start_paused = true)]
async fn a_password_is_kept_until_shortly_before_its_end_and_for_an_hour_at_most() {
    // Lasts, then: still there after, gone after.
    for (lasts, within, after) in [(3600, 3299, 3301), (600, 449, 451), (43_200, 3599, 3601), (0, 0, 0)] {
        let cloud = Arc::new(Cloud::default());
        cloud.seconds.store(lasts, Ordering::Relaxed);
        let logins = Logins::new(cloud.clone());
        let login = async || logins.login(&identity("r.example.com")).await.map(|login| login.password);
        let first = login().await;
        assert_eq!(first, Ok("0 for r.example.com".into()));
        if within > 0 {
            tokio::time::advance(Duration::from_secs(within)).await;
            assert_eq!(login().await, first, "{lasts}");
        }
        tokio::time::advance(Duration::from_secs(after - within)).await;
        assert_eq!(login().await, Ok("1 for r.example.com".into()), "{lasts}");
    }
}

#[tokio::test(start_paused = true)]
async fn each_identity_has_its_own_and_a_refused_one_is_forgotten() {
    let cloud = Arc::new(Cloud::default());
    cloud.seconds.store(3600, Ordering::Relaxed);
    let logins = Logins::new(cloud.clone());
    let (one, other) = (identity("one.example.com"), Identity { service_account: "other".into(), ..identity("one.example.com") });
    for asked in [2, 3] {
        for identity in [&one, &other, &one, &other] {
            logins.login(identity).await.expect("a password");
        }
        assert_eq!(cloud.asked.load(Ordering::Relaxed), asked, "the other one is as good as before");
        logins.forget(&one);
    }
}

#[test]
fn a_password_is_for_its_host_alone() {
    let login = Login { username: "AWS".into(), password: "canary\"}".into(), lasts: Duration::ZERO };
    let data = docker_config(&identity("r.example.com:5000"), &login);
    let credentials = gowindows_clients::oci::Credentials::from_docker_config(&data[".dockerconfigjson"]).expect("a docker configuration");
    assert!(credentials.of("r.example.com:5000").is_some());
    assert!(credentials.of("r.example.com").is_none() && credentials.of("other.example.com").is_none());
    assert!(!format!("{login:?}").contains("canary"));
}
