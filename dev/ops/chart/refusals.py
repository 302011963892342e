"""Values that must be refused, each for its own reason."""
import chart

# What is set on top of ci/minimal.yaml, and words of the refusal.
REFUSED = [
    (["config.api.NO_SUCH_SETTING=1"], "NO_SUCH_SETTING"),
    (["config.api.STRIPE_API_KEY=sk_live_1"], "STRIPE_API_KEY"),
    (["config.common.DATABASE_URL=postgres://u:p@h/d"], "DATABASE_URL"),
    (["config.api.RATE_LIMIT_READS=many"], "RATE_LIMIT_READS"),
    (["config.api.DRAIN_MS=60001"], "DRAIN_MS"),
    (["config.worker.STRIPE_TIMEOUT_MS=5"], "STRIPE_TIMEOUT_MS"),
    # A number to --set, as to YAML.
    (["config.worker.SWISH_PAYEE_ALIAS=1234679304"], "SWISH_PAYEE_ALIAS"),
    (["config.worker.SWISH_CALLBACK_URL=http://pay.example/"], "SWISH_CALLBACK_URL"),
    (["config.common.LOG_FORMAT=xml"], "LOG_FORMAT"),
    (["replicas=3"], "replicas"),
    (["existingSecret="], "existingSecret or externalSecrets"),
    (["externalSecrets.enabled=true"], "existingSecret or externalSecrets"),
    (["existingSecret=", "externalSecrets.enabled=true"], "externalSecrets needs key"),
    (["config.api.JWT_JWKS_URL="], "exactly one of config.api.JWT_JWKS_URL"),
    (["trial.jwtDevelopmentSecret=true"], "exactly one of config.api.JWT_JWKS_URL"),
    (["swish.existingSecret=certificate"], "SWISH_PAYEE_ALIAS"),
    (["keda.enabled=true"], "keda needs prometheus"),
    (["ingress.enabled=true"], "ingress needs host"),
    (["ingress.paths={/}"], "paths"),
    (["ingress.paths={/metrics}"], "paths"),
    (["worker.replicas=0"], "without KEDA"),
    (["worker.replicas=11"], "above maxReplicas"),
    (["api.autoscaling.minReplicas=11"], "above maxReplicas"),
    (["worker.groups.a.lanes={stripe_payments}", "worker.groups.a.replicas=1", "worker.groups.a.maxReplicas=1"], "is in 0 groups"),
    (["worker.groups.a.lanes={paypal}", "worker.groups.a.replicas=1", "worker.groups.a.maxReplicas=1"], "lanes"),
    (["worker.groups.Upper.replicas=1"], "Upper"),
    (["networkPolicy.clients[0].ipBlok.cidr=10.0.0.0/8"], "clients"),
    (["image.tag=a b"], "tag"),
]


def findings():
    result = []
    for settings, word in REFUSED:
        args = [part for setting in settings for part in ("--set", setting)]
        answer = chart.template("-f", chart.CHART / "ci/minimal.yaml", *args)
        if answer.returncode == 0:
            result.append(f"taken, but should be refused: {' '.join(settings)}")
        elif word not in answer.stderr:
            result.append(f"{' '.join(settings)} is refused, but not for `{word}`: {chart.words(answer.stderr)}")
    return result
