//! Which identities fit which registries, whom are they exchanged by, and which containers see the token?

use super::*;
use gowindows_model::settings::{IdentityProvider, IdentitySettings, RegistrySettings};
use gowindows_model::wire::identity::{Exchange, Identity};
use k8s_openapi::api::core::v1::{Container, PodSpec};

const ECR: &str = "123456789012.dkr.ecr.eu-central-1.amazonaws.com";
const ROLE: &str = "arn:aws:iam::123456789012:role/push";
const ID: &str = "72f988bf-0000-0000-0000-2d7cd011db47";
const PROVIDER: &str = "projects/1/locations/global/workloadIdentityPools/clusters/providers/shop";

fn aws() -> Value {
    json!({"serviceAccountName": "push", "aws": {"roleARN": ROLE}})
}

fn azure() -> Value {
    json!({"serviceAccountName": "push", "azure": {"tenantID": ID, "clientID": ID}})
}

fn google() -> Value {
    json!({"serviceAccountName": "push", "google": {"workloadIdentityProvider": PROVIDER}})
}

fn patch(host: &str, identity: Value) -> Value {
    json!({"spec": {"image": {"repository": format!("{host}/shop/app"), "identity": identity}}})
}

fn request(host: &str, identity: Value, settings: &Settings) -> Result<Request, Refusal> {
    Request::new(&object(patch(host, identity)), settings)
}

fn told(provider: IdentityProvider, region: Option<&str>, servers: Option<(&str, &str)>) -> Settings {
    let registry = RegistrySettings {
        host: "r.internal:5000".into(),
        identity: Some(IdentitySettings {
            provider,
            region: region.map(str::to_owned),
            token_server: servers.map(|(server, _)| server.to_owned()),
            password_server: servers.map(|(_, server)| server.to_owned()),
        }),
        ..RegistrySettings::default()
    };
    Settings { registries: vec![registry], ..settings() }
}

fn servers(identity: &Identity) -> (&str, &str) {
    match &identity.exchange {
        Exchange::Aws { sts, ecr, .. } => (sts, ecr),
        Exchange::Azure { login, registry, .. } => (login, registry),
        Exchange::Google { sts, credentials, .. } => (sts, credentials),
    }
}

#[test]
fn each_registry_has_its_audience_and_its_servers() {
    let gke = json!({"serviceAccountName": "push", "google": {"cluster": "projects/shop-1234/locations/x/clusters/c"}});
    let iam = "https://iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/clusters/providers/shop";
    let google_servers = ("https://sts.googleapis.com", "https://iamcredentials.googleapis.com");
    let table = [
        (ECR, aws(), "sts.amazonaws.com", ("https://sts.eu-central-1.amazonaws.com", "https://api.ecr.eu-central-1.amazonaws.com")),
        (
            "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn",
            aws(),
            "sts.amazonaws.com",
            ("https://sts.cn-north-1.amazonaws.com.cn", "https://api.ecr.cn-north-1.amazonaws.com.cn"),
        ),
        ("shop.azurecr.io", azure(), "api://AzureADTokenExchange", ("https://login.microsoftonline.com", "https://shop.azurecr.io")),
        ("Shop.azurecr.us", azure(), "api://AzureADTokenExchangeUSGov", ("https://login.microsoftonline.us", "https://shop.azurecr.us")),
        ("europe-west3-docker.pkg.dev", google(), iam, google_servers),
        ("eu.gcr.io", gke, "shop-1234.svc.id.goog", google_servers),
    ];
    for (host, identity, audience, expected) in table {
        let request = request(host, identity, &settings()).expect(host);
        let identity = request.identity().expect("an identity").clone();
        assert_eq!((identity.audience.as_str(), servers(&identity)), (audience, expected), "{host}");
        assert_eq!(
            (identity.host.as_str(), identity.subject().as_str()),
            (host.to_lowercase().as_str(), "system:serviceaccount:team:push")
        );
        assert!(identity.opens(request.repository()) && !identity.opens("docker.io/library/golang:1") && !identity.opens("shop"));
    }
}

#[test]
fn another_clouds_registry_is_refused_by_name() {
    let hosts = [
        "registry.example.com",
        "12345678901.dkr.ecr.eu-central-1.amazonaws.com",
        "123456789012.dkr.ecr.eu-central-1.amazonaws.com.evil.com",
        "123456789012.dkr.ecr.eu-central-1.amazonaws.com:444",
        "evil-123456789012.dkr.ecr.amazonaws.com",
        "azurecr.io",
        "shop.azurecr.io.evil.com",
        "evil.com-docker.pkg.dev",
        "evilgcr.io",
    ];
    for host in hosts {
        for (identity, field) in [(aws(), "image.identity.aws"), (azure(), "image.identity.azure"), (google(), "image.identity.google")] {
            let refusal = request(host, identity, &settings()).expect_err(host);
            assert_eq!(refusal.reason, Reason::InvalidSpec);
            assert!(
                ["image.repository", host, field, "registries"].iter().all(|part| refusal.message.contains(part)),
                "{}",
                refusal.message
            );
        }
    }
    for (host, identity) in [(ECR, azure()), (ECR, google()), ("shop.azurecr.io", aws()), ("eu.gcr.io", aws())] {
        assert!(request(host, identity, &settings()).is_err(), "{host}");
    }
}

#[test]
fn the_operators_settings_say_otherwise() {
    let host = "r.internal:5000";
    let private = told(IdentityProvider::AWS, Some("eu-x-1"), Some(("https://sts.internal", "http://ecr.internal:81/")));
    let identity = request(host, aws(), &private).expect("a registry of AWS").identity().expect("an identity").clone();
    assert_eq!(servers(&identity), ("https://sts.internal", "http://ecr.internal:81"));
    assert!(matches!(&identity.exchange, Exchange::Aws { region, .. } if region == "eu-x-1"));
    let usual = request(host, aws(), &told(IdentityProvider::AWS, Some("eu-x-1"), None)).expect("a registry of AWS").identity().cloned();
    assert_eq!(usual.as_ref().map(servers), Some(("https://sts.eu-x-1.amazonaws.com", "https://api.ecr.eu-x-1.amazonaws.com")));
    let refusal = request(host, aws(), &told(IdentityProvider::AWS, None, None)).expect_err("no region");
    assert!(refusal.message.contains("identity.region"), "{}", refusal.message);
    let refusal = request(host, azure(), &private).expect_err("of AWS");
    assert!(refusal.message.contains("identities of AWS"), "{}", refusal.message);
}

#[test]
fn buildkits_cache_in_the_same_registry_is_refused() {
    let cached = |host: &str| {
        let mut patch = patch(ECR, aws());
        patch["spec"]["build"] = json!({
            "engine": "BuildKit",
            "buildkit": {"address": "tcp://buildkitd.builds:1234", "tlsSecretRef": {"name": "buildkit-tls"}},
            "cache": {"registry": {"repository": format!("{host}/cache/app")}},
        });
        Request::new(&object(patch), &settings())
    };
    assert!(cached("cache.example.com").is_ok());
    let refusal = cached(ECR).expect_err("the same registry");
    assert!(
        refusal.message.contains("build.cache.registry.repository") && refusal.message.contains("pushSecretRef"),
        "{}",
        refusal.message
    );
}

fn pod(patch: Value) -> PodSpec {
    let mut world = world(patch);
    let plan = settle(&mut world, None);
    job(&plan).and_then(|job| job.spec?.template.spec).expect("a pod")
}

#[test]
fn only_the_last_stage_sees_the_token_and_none_is_for_the_api_server() {
    let pod = pod(patch(ECR, aws()));
    assert_eq!((pod.service_account_name.as_deref(), pod.automount_service_account_token), (Some("push"), Some(false)));
    let volume = pod.volumes.iter().flatten().find(|volume| volume.projected.is_some()).expect("a token").clone();
    let sources = volume.projected.and_then(|projected| projected.sources).expect("sources");
    let [source] = sources.as_slice() else { panic!("{sources:?}") };
    let token = source.service_account_token.as_ref().expect("a token");
    assert_eq!((token.audience.as_deref(), token.path.as_str()), (Some("sts.amazonaws.com"), "token"));
    let mounts = |container: &Container| container.volume_mounts.iter().flatten().any(|mount| mount.name == volume.name);
    let all = pod.init_containers.iter().flatten().chain(&pod.containers);
    let seeing: Vec<&str> = all.filter(|container| mounts(container)).map(|container| container.name.as_str()).collect();
    assert_eq!(seeing, ["assemble"]);
    let args = pod.containers[0].args.clone().expect("arguments").join(" ");
    assert!(args.contains("--identity-token /var/run/gowindows/identity/token") && args.contains(ROLE), "{args}");
}

#[test]
fn without_an_identity_a_pod_is_as_it_was() {
    let pod = pod(json!({}));
    assert!(pod.service_account_name.is_none() && pod.volumes.iter().flatten().all(|volume| volume.projected.is_none()));
    let args = pod.containers[0].args.clone().expect("arguments").join(" ");
    assert!(!args.contains("identity"), "{args}");
}

#[test]
fn tests_run_without_the_identity() {
    let mut patch = patch(ECR, aws());
    patch["spec"]["go"] = json!({"test": {"packages": ["./..."]}});
    let plan = settle(&mut world(patch), None);
    let accounts: Vec<_> = jobs(&plan).into_iter().map(|job| pod_of(job).service_account_name).collect();
    assert_eq!(accounts, [None, Some("push".to_owned())], "the tests come first");
}

#[test]
fn no_job_is_made_before_the_exchange_works() {
    for reason in [Reason::IdentityUnavailable, Reason::IdentityRefused, Reason::IdentityUnreachable] {
        let mut world = world(patch(ECR, aws()));
        let trouble = Trouble { reason, message: "It does not work.".into(), at: at(1), times: 1 };
        let plan = loop {
            match decide(&world, &settings()) {
                Decision::Do(plan) => break plan,
                Decision::Ask(questions) => {
                    for question in &questions {
                        if let Question::Published { tag, .. } = question {
                            world.answers.published.insert(tag.clone(), Seen::Unknown(trouble.clone()));
                        }
                    }
                    world.answers.asked.extend(questions);
                }
            }
        };
        assert_eq!(names_of(&plan), Vec::<&str>::new(), "{reason}");
        assert!(
            matches!(&plan.verdicts.build.progress, BuildProgress::Blocked(trouble) if trouble.reason == reason),
            "{:?}",
            plan.verdicts.build.progress
        );
        assert!(plan.next.is_some(), "it is asked again");
    }
}
