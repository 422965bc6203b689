//! The sections of an `alertmanager.yml` as they are written. Every key Alertmanager has is known here, used or not, so that a slip of the pen is an
//! error with its line; scalars keep their text (`1.50`, `0012`), for a label or a password is no number.

use super::calendar::TimeInterval;
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::collections::BTreeMap;

/// A scalar's text.
pub type Text = Option<String>;
type Unused = Option<IgnoredAny>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    pub global: Option<Global>,
    pub route: Route,
    #[serde(default)]
    pub receivers: Vec<Declared>,
    #[serde(default)]
    pub inhibit_rules: Vec<Inhibit>,
    #[serde(default)]
    pub mute_time_intervals: Vec<NamedInterval>,
    #[serde(default)]
    pub time_intervals: Vec<NamedInterval>,
    #[serde(default)]
    pub templates: Vec<String>,
    #[serde(default, rename = "tracing")]
    _tracing: Unused,
}

/// Fields that a section has and nothing here reads.
macro_rules! section {
    ($(#[$doc:meta])* $name:ident { $($field:ident: $kind:ty,)* } unread { $($unread:ident: $what:ty,)* }) => {
        $(#[$doc])*
        #[derive(Default, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct $name {
            $(pub $field: $kind,)*
            $(#[allow(dead_code)] $unread: $what,)*
        }
    };
}

section! {
    Global {
        resolve_timeout: Text,
        http_config: Option<HttpConfig>,
        smtp_from: Text,
        smtp_hello: Text,
        smtp_smarthost: Text,
        smtp_auth_username: Text,
        smtp_auth_password: Text,
        smtp_auth_password_file: Text,
        smtp_require_tls: Option<bool>,
        smtp_force_implicit_tls: Option<bool>,
        smtp_tls_config: Option<TlsConfig>,
        slack_api_url: Text,
        slack_api_url_file: Text,
        pagerduty_url: Text,
    } unread {
        smtp_auth_identity: Text,
        smtp_auth_secret: Text,
        smtp_auth_secret_file: Text,
        slack_app_token: Text,
        slack_app_token_file: Text,
        slack_app_url: Text,
        victorops_api_key: Text,
        victorops_api_key_file: Text,
        victorops_api_url: Text,
        opsgenie_api_key: Text,
        opsgenie_api_key_file: Text,
        opsgenie_api_url: Text,
        wechat_api_url: Text,
        wechat_api_secret: Text,
        wechat_api_secret_file: Text,
        wechat_api_corp_id: Text,
        webex_api_url: Text,
        telegram_api_url: Text,
        telegram_bot_token: Text,
        telegram_bot_token_file: Text,
        jira_api_url: Text,
        rocketchat_api_url: Text,
        rocketchat_token: Text,
        rocketchat_token_file: Text,
        rocketchat_token_id: Text,
        rocketchat_token_id_file: Text,
        mattermost_webhook_url: Text,
        mattermost_webhook_url_file: Text,
    }
}

section! {
    Route {
        receiver: Text,
        group_by: Option<Vec<String>>,
        r#continue: Option<bool>,
        matchers: Vec<String>,
        r#match: BTreeMap<String, Text>,
        match_re: BTreeMap<String, Text>,
        mute_time_intervals: Vec<String>,
        active_time_intervals: Vec<String>,
        group_wait: Text,
        group_interval: Text,
        repeat_interval: Text,
        routes: Vec<Route>,
    } unread {}
}

section! {
    Inhibit {
        name: Text,
        source_match: BTreeMap<String, Text>,
        source_match_re: BTreeMap<String, Text>,
        source_matchers: Vec<String>,
        target_match: BTreeMap<String, Text>,
        target_match_re: BTreeMap<String, Text>,
        target_matchers: Vec<String>,
        equal: Vec<String>,
    } unread {}
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamedInterval {
    pub name: String,
    #[serde(default)]
    pub time_intervals: Vec<TimeInterval>,
}

/// What stands in a list of a kind that is not spoken.
pub type Unspoken = Option<Vec<IgnoredAny>>;

section! {
    /// A receiver.
    Declared {
        name: Text,
        email_configs: Option<Vec<Email>>,
        pagerduty_configs: Option<Vec<PagerDuty>>,
        slack_configs: Option<Vec<Slack>>,
        webhook_configs: Option<Vec<Webhook>>,
        discord_configs: Unspoken,
        incidentio_configs: Unspoken,
        jira_configs: Unspoken,
        mattermost_configs: Unspoken,
        msteams_configs: Unspoken,
        msteamsv2_configs: Unspoken,
        opsgenie_configs: Unspoken,
        pushover_configs: Unspoken,
        rocketchat_configs: Unspoken,
        sns_configs: Unspoken,
        telegram_configs: Unspoken,
        victorops_configs: Unspoken,
        webex_configs: Unspoken,
        wechat_configs: Unspoken,
    } unread {}
}

impl Declared {
    /// Kinds that are written and not spoken, one for each entry.
    pub fn unspoken(&self) -> Vec<String> {
        let kinds = [
            ("discord", &self.discord_configs),
            ("incidentio", &self.incidentio_configs),
            ("jira", &self.jira_configs),
            ("mattermost", &self.mattermost_configs),
            ("msteams", &self.msteams_configs),
            ("msteamsv2", &self.msteamsv2_configs),
            ("opsgenie", &self.opsgenie_configs),
            ("pushover", &self.pushover_configs),
            ("rocketchat", &self.rocketchat_configs),
            ("sns", &self.sns_configs),
            ("telegram", &self.telegram_configs),
            ("victorops", &self.victorops_configs),
            ("webex", &self.webex_configs),
            ("wechat", &self.wechat_configs),
        ];
        let entries = kinds.iter().flat_map(|(kind, list)| list.iter().flatten().map(|_| (*kind).to_owned()));
        entries.collect()
    }
}

type List = Option<Vec<IgnoredAny>>;
type Table = Option<BTreeMap<String, IgnoredAny>>;

section! {
    Slack {
        send_resolved: Option<bool>,
        api_url: Text,
        api_url_file: Text,
        channel: Text,
        http_config: Option<HttpConfig>,
    } unread {
        app_token: Text,
        app_token_file: Text,
        app_url: Text,
        username: Text,
        color: Text,
        title: Text,
        title_link: Text,
        pretext: Text,
        text: Text,
        fields: List,
        short_fields: Option<bool>,
        footer: Text,
        fallback: Text,
        callback_id: Text,
        icon_emoji: Text,
        icon_url: Text,
        image_url: Text,
        thumb_url: Text,
        link_names: Option<bool>,
        mrkdwn_in: List,
        actions: List,
        timeout: Text,
        update_message: Option<bool>,
        message_text: Text,
    }
}

section! {
    PagerDuty {
        send_resolved: Option<bool>,
        routing_key: Text,
        routing_key_file: Text,
        service_key: Text,
        service_key_file: Text,
        url: Text,
        http_config: Option<HttpConfig>,
    } unread {
        client: Text,
        client_url: Text,
        description: Text,
        details: Table,
        images: List,
        links: List,
        severity: Text,
        source: Text,
        class: Text,
        component: Text,
        group: Text,
        timeout: Text,
    }
}

section! {
    Email {
        send_resolved: Option<bool>,
        to: Text,
        from: Text,
        hello: Text,
        smarthost: Text,
        auth_username: Text,
        auth_password: Text,
        auth_password_file: Text,
        require_tls: Option<bool>,
        force_implicit_tls: Option<bool>,
        tls_config: Option<TlsConfig>,
    } unread {
        auth_secret: Text,
        auth_secret_file: Text,
        auth_identity: Text,
        headers: Option<BTreeMap<String, Text>>,
        html: Text,
        text: Text,
        threading: Table,
    }
}

section! {
    Webhook {
        send_resolved: Option<bool>,
        url: Text,
        url_file: Text,
        max_alerts: Option<u64>,
        http_config: Option<HttpConfig>,
    } unread {
        timeout: Text,
        payload: Unused,
    }
}

section! {
    HttpConfig {
        basic_auth: Option<BasicAuth>,
        authorization: Option<Authorization>,
        bearer_token: Text,
        bearer_token_file: Text,
        http_headers: Option<BTreeMap<String, HttpHeader>>,
        oauth2: Option<OAuth2>,
        proxy_url: Text,
        no_proxy: Text,
        proxy_from_environment: Option<bool>,
        proxy_connect_header: Option<BTreeMap<String, Vec<String>>>,
        tls_config: Option<TlsConfig>,
    } unread {
        follow_redirects: Option<bool>,
        enable_http2: Option<bool>,
    }
}

section! {
    TlsConfig {
        ca: Text,
        ca_file: Text,
        cert: Text,
        cert_file: Text,
        key: Text,
        key_file: Text,
        server_name: Text,
        insecure_skip_verify: Option<bool>,
        min_version: Text,
        max_version: Text,
    } unread {
        ca_ref: Text,
        cert_ref: Text,
        key_ref: Text,
    }
}

section! {
    OAuth2 {
        client_id: Text,
        client_secret: Text,
        client_secret_file: Text,
        token_url: Text,
        scopes: Vec<String>,
        endpoint_params: BTreeMap<String, Text>,
    } unread {
        client_secret_ref: Text,
        tls_config: Option<TlsConfig>,
        proxy_url: Text,
        no_proxy: Text,
        proxy_from_environment: Option<bool>,
        proxy_connect_header: Table,
    }
}

section! {
    HttpHeader {
        values: Vec<String>,
        secrets: Vec<String>,
        files: Vec<String>,
    } unread {}
}

section! {
    BasicAuth {
        username: Text,
        username_file: Text,
        password: Text,
        password_file: Text,
    } unread {
        username_ref: Text,
        password_ref: Text,
    }
}

section! {
    Authorization {
        r#type: Text,
        credentials: Text,
        credentials_file: Text,
    } unread {
        credentials_ref: Text,
    }
}
