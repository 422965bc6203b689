//! `http_config` and `tls_config` of an `alertmanager.yml` over real sockets: proxies, certificates, names and tokens, for every kind of channel.

use crate::receiver::{Answer, Receiver};
use crate::trust::{over_tls, signed_itself, web};
use crate::{Running, eventually, notice, start};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::channel;
use watchfire_model::NoticeState::Firing;
use watchfire_notifiers::{Settings, check};

/// One receiver with the three kinds of channels that speak HTTP, at an address that no name server knows.
fn file(directory: &Path, global: &str, http_config: &str) -> Settings {
    let http = if http_config.is_empty() { String::new() } else { format!(", http_config: {http_config}") };
    let text = format!(
        "global: {global}\nroute: {{receiver: ops, group_wait: 0s, group_interval: 1s}}\nreceivers:\n- name: ops\n  \
         webhook_configs: [{{url: 'http://hook.invalid/w'{http}}}]\n  \
         slack_configs: [{{api_url: 'http://hook.invalid/s'{http}}}]\n  \
         pagerduty_configs: [{{routing_key: k, url: 'http://hook.invalid/p'{http}}}]\n"
    );
    written(directory, &text)
}

fn written(directory: &Path, text: &str) -> Settings {
    let path = directory.join("alertmanager.yml");
    std::fs::write(&path, text).unwrap();
    let mut settings = Settings { alertmanager_config: Some(path), ..Settings::default() };
    settings.limits.backoff_min = std::time::Duration::from_millis(10);
    settings
}

/// Starts, and waits until every path has told the alert.
async fn told(settings: Settings) -> Running {
    let running = start(settings, None);
    running.commit(vec![notice("A", 1, Firing)]).await;
    eventually("told on every path", || running.handle.owed() == 0).await;
    running
}

#[tokio::test]
async fn every_channel_goes_through_the_proxy_and_says_who_asks() {
    let proxy = Receiver::start().await;
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("name"), "ops\n").unwrap();
    std::fs::write(directory.path().join("token"), "geheim\n").unwrap();
    let through = format!("proxy_url: '{}'", proxy.url);
    for (global, own, expected) in [
        ("{}", format!("{{{through}, authorization: {{credentials_file: token}}}}"), "Bearer geheim"),
        ("{}", format!("{{{through}, authorization: {{type: Splunk, credentials_file: token}}}}"), "Splunk geheim"),
        ("{}", format!("{{{through}, basic_auth: {{username_file: name, password: p}}}}"), "Basic b3BzOnA="),
        (&format!("{{http_config: {{{through}, bearer_token: t}}}}"), String::new(), "Bearer t"),
    ] {
        let from = proxy.count();
        let running = told(file(directory.path(), global, &own)).await;
        let received = proxy.received().split_off(from);
        let mut paths: Vec<&str> = received.iter().map(|r| r.path.as_str()).collect();
        paths.sort_unstable();
        assert_eq!(paths, ["/p", "/s", "/w"], "{own}");
        for request in &received {
            assert_eq!(request.headers["host"], "hook.invalid");
            assert_eq!(request.headers["authorization"], expected, "{own} {}", request.path);
        }
        running.stop().await;
    }
    // What is reached without it is not sent there.
    let running = start(file(directory.path(), "{}", &format!("{{{through}, no_proxy: hook.invalid}}")), None);
    let before = proxy.count();
    running.commit(vec![notice("A", 1, Firing)]).await;
    let tried =
        |path: &str| running.handle.paths().into_iter().any(|(name, works, why)| name == path && !works && why.contains("hook.invalid"));
    eventually("each has failed", || ["ops/webhook", "ops/slack", "ops/pagerduty"].into_iter().all(tried)).await;
    assert_eq!(proxy.count(), before);
    running.cancel.cancel();
}

#[tokio::test]
async fn tokens_are_asked_for_held_and_asked_for_anew_when_refused() {
    let (receiver, issuer) = (Receiver::start().await, Receiver::start().await);
    issuer.always(Some(Answer::Json(r#"{"access_token":"t1","token_type":"Bearer","expires_in":3600}"#)));
    let directory = tempfile::tempdir().unwrap();
    let ours = written(
        directory.path(),
        &format!(
            "route: {{receiver: ops, group_by: [alertname], group_wait: 0s, group_interval: 1s}}\nreceivers:\n- name: ops\n  webhook_configs:\n  - url: '{}/hook'\n    \
             http_config: {{oauth2: {{client_id: 'a b', client_secret: 's+', token_url: '{}/token', scopes: [x, y], endpoint_params: {{audience: z}}}}}}\n",
            receiver.url, issuer.url
        ),
    );
    let running = told(ours).await;
    running.commit(vec![notice("B", 1, Firing)]).await;
    eventually("the second", || receiver.count() == 2).await;
    assert_eq!(issuer.count(), 1, "a token that holds is not asked for twice");
    let asked = issuer.received().remove(0);
    assert_eq!(asked.body, "grant_type=client_credentials&scope=x+y&audience=z");
    assert_eq!(asked.headers["authorization"], "Basic YStiOnMlMkI=", "a+b:s%2B");
    assert!(receiver.received().iter().all(|r| r.headers["authorization"] == "Bearer t1"));
    // Withdrawn before its time. The next issuer looks for the secret in the form.
    receiver.answers([Answer::Status(401)]);
    issuer.always(Some(Answer::Json(r#"{"access_token":"t2","expires_in":"18446744073709551615"}"#)));
    issuer.answers([Answer::Status(400)]);
    running.commit(vec![notice("C", 1, Firing)]).await;
    eventually("the third, at the second try", || receiver.count() == 4 && running.handle.owed() == 0).await;
    assert_eq!(receiver.received()[3].headers["authorization"], "Bearer t2");
    assert!(issuer.received()[2].body.ends_with("&client_id=a+b&client_secret=s%2B"), "{:?}", issuer.received()[2].body);
    running.stop().await;
}

#[tokio::test]
async fn certificates_are_those_that_the_file_names() {
    let directory = tempfile::tempdir().unwrap();
    let (certificate, key) = signed_itself(directory.path(), "localhost");
    signed_itself(directory.path(), "elsewhere");
    let port = over_tls(&certificate, &key, web);
    for (host, tls, expected) in [
        ("localhost", "{}", Err("name its file in ca_file to trust it")),
        ("localhost", "{ca_file: localhost.pem}", Ok(())),
        ("localhost", "{ca_file: elsewhere.pem}", Err("name its file in ca_file to trust it")),
        ("127.0.0.1", "{ca_file: localhost.pem}", Err("not for 127.0.0.1; reach the server by a name")),
        ("127.0.0.1", "{ca_file: localhost.pem, server_name: localhost}", Ok(())),
        ("127.0.0.1", "{insecure_skip_verify: true, max_version: TLS12}", Ok(())),
    ] {
        let text = format!(
            "route: {{receiver: ops, group_wait: 0s}}\nreceivers:\n- name: ops\n  webhook_configs: [{{url: 'https://{host}:{port}/', http_config: {{tls_config: {tls}}}}}]\n"
        );
        let running = start(written(directory.path(), &text), None);
        running.commit(vec![notice("A", 1, Firing)]).await;
        eventually(&format!("{host} {tls}: {expected:?} {:?}", running.handle.paths()), || match expected {
            Ok(()) => running.handle.owed() == 0,
            Err(why) => running.handle.paths().into_iter().any(|(_, works, told)| !works && told.contains(why)),
        })
        .await;
        running.cancel.cancel();
    }
}

#[tokio::test]
async fn a_server_that_asks_who_we_are_is_shown_our_certificate() {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    let directory = tempfile::tempdir().unwrap();
    let (certificate, key) = signed_itself(directory.path(), "localhost");
    let own = rcgen::KeyPair::generate().unwrap();
    let client = rcgen::CertificateParams::new(vec!["watchfire".to_owned()]).unwrap().self_signed(&own).unwrap();
    std::fs::write(directory.path().join("own.pem"), client.pem()).unwrap();
    std::fs::write(directory.path().join("own.key"), own.serialize_pem()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = rustls::RootCertStore::empty();
    roots.add(client.der().clone()).unwrap();
    let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build().unwrap();
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![CertificateDer::from_pem_file(&certificate).unwrap()], PrivateKeyDer::from_pem_file(&key).unwrap())
        .unwrap();
    let (sender, served) = channel();
    let port = crate::trust::with_config(config, move |tls| {
        web(tls)?;
        sender.send(()).ok();
        Ok(())
    });
    let text = |tls: &str| {
        format!(
            "route: {{receiver: ops, group_wait: 0s}}\nreceivers:\n- name: ops\n  webhook_configs: [{{url: 'https://localhost:{port}/', http_config: {{tls_config: {{ca_file: localhost.pem{tls}}}}}}}]\n"
        )
    };
    let running = start(written(directory.path(), &text("")), None);
    running.commit(vec![notice("A", 1, Firing)]).await;
    eventually("refused", || {
        running.handle.paths().into_iter().any(|(name, works, why)| name == "ops/webhook" && !works && why.contains("localhost"))
    })
    .await;
    running.cancel.cancel();
    let running = told(written(directory.path(), &text(", cert_file: own.pem, key_file: own.key"))).await;
    assert!(served.try_iter().count() >= 1);
    running.cancel.cancel();
}

#[tokio::test]
async fn what_cannot_be_meant_is_an_error_that_names_it() {
    let directory = tempfile::tempdir().unwrap();
    for (http, why) in [
        ("{proxy_url: 'socks5://p:1'}", "SOCKS is not spoken"),
        ("{proxy_url: 'p:1'}", "proxy_url"),
        ("{no_proxy: x}", "no_proxy needs a proxy_url"),
        ("{proxy_url: 'http://p', proxy_from_environment: true}", "cannot be said together"),
        ("{tls_config: {ca_file: nowhere.pem}}", "nowhere.pem"),
        ("{tls_config: {cert_file: a.pem}}", "belong together"),
        ("{tls_config: {min_version: TLS99}}", "unknown TLS version"),
        ("{tls_config: {max_version: TLS11}}", "none of TLS 1.2 and 1.3"),
        ("{oauth2: {client_id: a, client_secret: b}}", "token_url is missing"),
        ("{basic_auth: {username_file: nowhere}}", "username_file"),
    ] {
        let refused = check(&file(directory.path(), "{}", http)).unwrap_err();
        assert!(refused.contains(why) && refused.contains("\"ops\""), "{http}: {refused}");
    }
}
