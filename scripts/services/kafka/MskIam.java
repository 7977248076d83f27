import java.net.URI;
import java.net.URLDecoder;
import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.time.Duration;
import java.time.Instant;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.util.Base64;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;
import javax.security.auth.callback.Callback;
import javax.security.auth.callback.UnsupportedCallbackException;
import javax.security.auth.login.AppConfigurationEntry;
import org.apache.kafka.common.security.auth.AuthenticateCallbackHandler;
import org.apache.kafka.common.security.oauthbearer.OAuthBearerToken;
import org.apache.kafka.common.security.oauthbearer.OAuthBearerValidatorCallback;

/**
 * Takes tokens as Amazon MSK does: a URL for kafka-cluster:Connect, presigned by AWS Signature Version 4
 * (written after AWS's description of it), of keys whose secrets are known here, for one region.
 */
public class MskIam implements AuthenticateCallbackHandler {
    private static final String REGION = "eu-central-1";
    private static final DateTimeFormatter TIME =
        DateTimeFormatter.ofPattern("yyyyMMdd'T'HHmmss'Z'").withZone(ZoneOffset.UTC);

    @Override
    public void configure(Map<String, ?> configs, String mechanism, List<AppConfigurationEntry> jaas) {}

    @Override
    public void close() {}

    @Override
    public void handle(Callback[] callbacks) throws UnsupportedCallbackException {
        for (Callback callback : callbacks) {
            if (!(callback instanceof OAuthBearerValidatorCallback asked)) {
                throw new UnsupportedCallbackException(callback);
            }
            try {
                asked.token(checked(asked.tokenValue()));
            } catch (Exception refused) {
                System.out.println("msk-iam refused: " + refused.getMessage());
                asked.error("access_denied", null, null);
            }
        }
    }

    private static OAuthBearerToken checked(String token) throws Exception {
        require(!token.contains("="), "padding");
        URI url = URI.create(new String(Base64.getUrlDecoder().decode(token), StandardCharsets.UTF_8));
        String host = "kafka." + REGION + ".amazonaws.com";
        require("https".equals(url.getScheme()) && "/".equals(url.getRawPath()), "address");
        require(host.equals(url.getRawAuthority()), "host " + url.getRawAuthority());
        Map<String, String> query = new TreeMap<>();
        for (String pair : url.getRawQuery().split("&")) {
            int at = pair.indexOf('=');
            String value = URLDecoder.decode(pair.substring(at + 1), StandardCharsets.UTF_8);
            require(query.put(pair.substring(0, at), value) == null, "twice " + pair);
        }
        require(query.remove("User-Agent") != null, "no user agent");
        String signature = query.remove("X-Amz-Signature");
        require("kafka-cluster:Connect".equals(query.get("Action")), "action");
        require("AWS4-HMAC-SHA256".equals(query.get("X-Amz-Algorithm")), "algorithm");
        require("host".equals(query.get("X-Amz-SignedHeaders")), "headers");
        String[] credential = query.get("X-Amz-Credential").split("/", 2);
        String key = credential[0];
        String scope = credential[1];
        String time = query.get("X-Amz-Date");
        String day = time.substring(0, 8);
        require(scope.equals(day + "/" + REGION + "/kafka-cluster/aws4_request"), "scope " + scope);
        require(("session/of+" + key).equals(query.get("X-Amz-Security-Token")), "session");
        long seconds = Long.parseLong(query.get("X-Amz-Expires"));
        Instant signed = Instant.from(TIME.parse(time));
        require(seconds > 0 && seconds <= 900, "valid for " + seconds);
        require(Duration.between(signed, Instant.now()).abs().getSeconds() <= 300, "time " + time);
        require(Instant.now().isBefore(signed.plusSeconds(seconds)), "expired");

        StringBuilder canonical = new StringBuilder("GET\n/\n");
        String and = "";
        for (Map.Entry<String, String> pair : query.entrySet()) {
            canonical.append(and).append(encoded(pair.getKey())).append('=').append(encoded(pair.getValue()));
            and = "&";
        }
        canonical.append("\nhost:").append(host).append("\n\nhost\n").append(hex(sha256("")));
        String toSign = String.join("\n", "AWS4-HMAC-SHA256", time, scope, hex(sha256(canonical.toString())));
        byte[] derived = ("AWS4" + "secret/of+" + key).getBytes(StandardCharsets.UTF_8);
        for (String part : new String[] {day, REGION, "kafka-cluster", "aws4_request"}) {
            derived = hmac(derived, part);
        }
        require(hex(hmac(derived, toSign)).equals(signature), "signature");
        // A key may say for how many seconds it is good: KEY-20-...
        long good = Math.min(seconds, Long.parseLong(key.split("-")[1]));
        System.out.println("msk-iam accepted " + key);
        // Sessions of MOVING keys have a name each, as those of roles without AWS_ROLE_SESSION_NAME.
        String name = key.startsWith("MOVING") ? key : "assumed-role/mill";
        return new Accepted(token, name, signed.plusSeconds(good).toEpochMilli(), signed.toEpochMilli());
    }

    private static void require(boolean holds, String what) {
        if (!holds) throw new IllegalArgumentException(what);
    }

    private static String encoded(String text) {
        return URLEncoder.encode(text, StandardCharsets.UTF_8)
            .replace("+", "%20").replace("*", "%2A").replace("%7E", "~");
    }

    private static byte[] sha256(String text) throws Exception {
        return MessageDigest.getInstance("SHA-256").digest(text.getBytes(StandardCharsets.UTF_8));
    }

    private static byte[] hmac(byte[] key, String text) throws Exception {
        Mac mac = Mac.getInstance("HmacSHA256");
        mac.init(new SecretKeySpec(key, "HmacSHA256"));
        return mac.doFinal(text.getBytes(StandardCharsets.UTF_8));
    }

    private static String hex(byte[] bytes) {
        return HexFormat.of().formatHex(bytes);
    }

    private record Accepted(String value, String principalName, long lifetimeMs, Long startTimeMs)
        implements OAuthBearerToken {
        @Override
        public Set<String> scope() {
            return Set.of();
        }
    }
}
