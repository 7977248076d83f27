"""The dashboards: what is asked, in which words it is shown, and from where on it is yellow or red."""

from parts import (
    EVENTS,
    FAILED,
    GREEN,
    JOBS,
    RATE,
    RED,
    YELLOW,
    choose_stage,
    column,
    dashboard,
    heatmap,
    lines,
    mean,
    of,
    or_none,
    order,
    quantile,
    rate,
    row,
    stat,
    table,
    total,
)

FAILURES = total(EVENTS, FAILED, "processor, verdict, reason") + " > 0"
WORST = f"topk by (processor) (1, {total(EVENTS, FAILED, 'processor, reason')} > 0)"
# An hour is long for people who wait; after six a failing event is given up (engine/src/retry.rs).
AGES = [(600, YELLOW), (3600, RED)]


def mill():
    stages = table(
        "Stages",
        "One row a stage, in the order of the work. Red says where to look: the stage whose events fail, wait or grow "
        "old. The reason is the one most often given in the time shown. A stage without processes has not worked for "
        "anybody who is still there. A click on a stage shows it alone.",
        [
            order(),
            f"60 / $__range_s * {total('reelmill_event_seconds_count', by='processor')}",
            total(EVENTS, FAILED, "processor"),
            WORST,
            f"{total('reelmill_event_seconds_sum', by='processor')} / {total('reelmill_event_seconds_count', by='processor')}",
            "max by (processor) (reelmill_work_lag)",
            "max by (processor) (reelmill_work_oldest_seconds)",
            "sum by (processor) (reelmill_effects_running)",
            "count by (processor) (reelmill_effects_running)",
        ],
        {
            "processor": "Stage",
            "Value #B": "Events a minute",
            "Value #C": "Failures",
            "reason": "Most often",
            "Value #E": "Duration",
            "Value #F": "Waiting",
            "Value #G": "Oldest waits",
            "Value #H": "In work",
            "Value #I": "Processes",
        },
        hidden=("Value #A", "Value #D"),
        sort=("Value #A", False),
        overrides=[
            column(
                "Stage",
                links=[
                    {
                        "title": "One stage",
                        "url": "/d/reelmill-stage?var-processor=${__data.fields.Stage}&${__url_time_range}",
                    }
                ],
            ),
            column("Events a minute", decimals=1),
            column("Failures", decimals=0, levels=[(1, RED)]),
            column("Duration", unit="s"),
            column("Waiting", levels=[(100, YELLOW), (1000, RED)]),
            column("Oldest waits", unit="s", levels=AGES),
            column("In work", decimals=0),
            column("Processes", decimals=0),
        ],
        height=12,
    )
    reasons = table(
        "Failures by reason",
        "What failed in the time shown, and the word of the one who refused it. `retried` will be tried again by "
        "itself; `dead_lettered` waits for a person (reelmill dead-letters list). The words are in docs/problems.md "
        "and docs/runbooks.",
        [FAILURES],
        {"processor": "Stage", "verdict": "Verdict", "reason": "Reason", "Value": "Times"},
        sort=("Value", True),
        overrides=[column("Times", decimals=0, levels=[(1, RED)])],
        width=12,
        height=8,
        noValue="nothing failed",
    )
    return dashboard(
        "reelmill-mill",
        "The mill",
        "All stages at one look: what they do, what waits, what fails and why. What waits and how old it is `up` "
        "tells itself; of a deployment `reelmill watch` does.",
        [
            stat(
                "Videos ready",
                "Recordings that were verified and published in the time shown.",
                [(total(EVENTS, 'processor="verify",verdict="emitted"'), "ready")],
                decimals=0,
                colour="fixed",
            ),
            stat(
                "Videos cut",
                "Uploads that were cut into clips in the time shown: their work has begun.",
                [(total(EVENTS, 'processor="cut",verdict="emitted"'), "cut")],
                decimals=0,
                colour="fixed",
            ),
            stat(
                "Dead letters",
                "Events given up in the time shown. Each belongs to a video that will not be ready before somebody "
                "acts; a file that is no film is one too.",
                [(or_none(total(EVENTS, 'verdict="dead_lettered"')), "dead letters")],
                decimals=0,
                levels=[(1, RED)],
            ),
            stat(
                "Waiting",
                "Events that no stage has finished yet, of all stages together.",
                [("sum(max by (processor) (reelmill_work_lag))", "events")],
                decimals=0,
                levels=[(500, YELLOW), (5000, RED)],
            ),
            stat(
                "Oldest waits",
                "The age of the oldest event that waits anywhere.",
                [("max(reelmill_work_oldest_seconds)", "oldest")],
                unit="s",
                levels=AGES,
            ),
            stat(
                "Parts that answer",
                "The part of all known processes that answer when asked for their metrics.",
                [(f"avg(up{{{JOBS}}})", "up")],
                unit="percentunit",
                levels=[(None, RED), (1, GREEN)],
            ),
            stages,
            reasons,
            lines(
                "Failures",
                "Failed events a minute by stage: tries that will be repeated and dead letters.",
                [("60 * " + rate(of(EVENTS, FAILED), "processor, verdict"), "{{processor}} {{verdict}}")],
                stacked=True,
            ),
            row("Side by side"),
            lines(
                "Rate",
                "Events a minute that each stage has finished, whatever the verdict.",
                [(f"60 * {rate('reelmill_event_seconds_count')}", "{{processor}}")],
            ),
            lines(
                "Duration",
                "From an event's arrival to its commit, on average.",
                [(mean("reelmill_event_seconds"), "{{processor}}")],
                unit="s",
            ),
            lines(
                "Waiting",
                "Events not yet committed, retries that are not yet due among them.",
                [("max by (processor) (reelmill_work_lag)", "{{processor}}")],
            ),
            lines(
                "Oldest waits",
                "Age of the oldest event that waits.",
                [("max by (processor) (reelmill_work_oldest_seconds)", "{{processor}}")],
                unit="s",
                levels=AGES,
            ),
            lines(
                "Age",
                "How old events are when they are done, counted from when they were written: 95 of 100 are younger. "
                "Longer than the duration where events wait.",
                [(quantile(0.95, "reelmill_event_age_seconds", "processor"), "{{processor}}")],
                unit="s",
            ),
            lines(
                "In work",
                "Requests to the world begun and not ended.",
                [("sum by (processor) (reelmill_effects_running)", "{{processor}}")],
                stacked=True,
            ),
            row("Kafka and the services"),
            lines(
                "Kafka brings",
                "Messages a second that the consumer of each stage has taken in. Told every ten seconds.",
                [(rate(of("reelmill_kafka_messages_total", 'client="consumer"')), "{{processor}}")],
                stacked=True,
            ),
            lines(
                "Kafka takes",
                "Messages a second that the producer of each stage has sent. One that is at rest has told all it sent.",
                [(rate(of("reelmill_kafka_messages_total", 'client="producer"')), "{{processor}}")],
                stacked=True,
            ),
            lines(
                "Kafka in trouble",
                "Connections to brokers that ended, and requests that went wrong, a minute. A producer that goes to "
                "rest ends its own.",
                [
                    (f"60 * {rate('reelmill_kafka_disconnects_total')}", "{{processor}} disconnected"),
                    (f"60 * {rate('reelmill_kafka_errors_total')}", "{{processor}} errors"),
                ],
            ),
            lines(
                "Requests to services",
                "Requests a second to store, detector, index, registry and database, by how they ended. `refused`: "
                "what was asked for is not there or cannot be; `throttled`: a quota is used up; `transient`: tried again.",
                [(rate("reelmill_requests_total", "service, outcome"), "{{service}} {{outcome}}")],
                stacked=True,
            ),
            lines(
                "A service takes",
                "Seconds of one request, in the slowest of twenty. A film is fetched or stored in one.",
                [(quantile(0.95, "reelmill_request_seconds", "service"), "{{service}}")],
                unit="s",
            ),
            table(
                "Requests that failed",
                "What was not answered with what was asked for, in the time shown.",
                [total("reelmill_requests_total", 'outcome!="ok"', "service, operation, outcome") + " > 0"],
                {"service": "Service", "operation": "Operation", "outcome": "Outcome", "Value": "Times"},
                sort=("Value", True),
                overrides=[column("Times", decimals=0, levels=[(1, RED)])],
                width=12,
                height=8,
                noValue="nothing failed",
            ),
        ],
    )


def stage():
    one = 'processor="$processor"'
    return dashboard(
        "reelmill-stage",
        "One stage",
        "Everything about one stage: what it decides, how long it takes, what waits, what fails and why.",
        [
            stat(
                "Waiting",
                "Events of this stage not yet committed.",
                [(f"max(reelmill_work_lag{{{one}}})", "waiting")],
                decimals=0,
                levels=[(100, YELLOW), (1000, RED)],
            ),
            stat(
                "Oldest waits",
                "Age of the oldest event that waits for this stage.",
                [(f"max(reelmill_work_oldest_seconds{{{one}}})", "oldest")],
                unit="s",
                levels=AGES,
            ),
            stat(
                "In work",
                "Requests to the world begun and not ended.",
                [(f"sum(reelmill_effects_running{{{one}}})", "in work")],
                decimals=0,
                colour="fixed",
            ),
            stat(
                "Processes",
                "Processes of this stage that have worked since they began.",
                [(f"count(reelmill_effects_running{{{one}}})", "processes")],
                decimals=0,
                levels=[(None, RED), (1, GREEN)],
            ),
            stat(
                "Failures",
                "Tries that will be repeated and dead letters, in the time shown.",
                [(or_none(total(EVENTS, f"{one},{FAILED}")), "failures")],
                decimals=0,
                levels=[(1, RED)],
            ),
            stat(
                "Done",
                "Events finished in the time shown, whatever the verdict.",
                [(total(EVENTS, one), "events")],
                decimals=0,
                colour="fixed",
            ),
            lines(
                "Verdicts",
                "Events a minute by how they ended. `skipped` is no fault: the event was nobody's work, or another does it.",
                [("60 * " + rate(of(EVENTS, one), "verdict"), "{{verdict}}")],
                stacked=True,
            ),
            table(
                "Reasons",
                "Why events were skipped, tried again or given up, in the time shown.",
                [total(EVENTS, f'{one},reason!=""', "verdict, reason") + " > 0"],
                {"verdict": "Verdict", "reason": "Reason", "Value": "Times"},
                sort=("Value", True),
                overrides=[column("Times", decimals=0)],
                width=12,
                height=8,
                noValue="none",
            ),
            lines(
                "Duration",
                "From an event's arrival to its commit: half of them take less than p50, 95 of 100 less than p95. "
                "Read from buckets, so between their borders it is a guess.",
                [
                    (mean(f"reelmill_event_seconds{{{one}}}"), "mean"),
                    (quantile(0.5, f"reelmill_event_seconds{{{one}}}"), "p50"),
                    (quantile(0.95, f"reelmill_event_seconds{{{one}}}"), "p95"),
                ],
                unit="s",
            ),
            heatmap(
                "Durations",
                "How many events took how long.",
                f"sum by (le) (increase(reelmill_event_seconds_bucket{{{one}}}[{RATE}]))",
            ),
            lines(
                "Age",
                "How old events are when they are done, counted from when they were written.",
                [
                    (quantile(0.5, f"reelmill_event_age_seconds{{{one}}}"), "p50"),
                    (quantile(0.95, f"reelmill_event_age_seconds{{{one}}}"), "p95"),
                ],
                unit="s",
            ),
            lines(
                "Waiting",
                "Events not yet committed, and the age of the oldest in seconds.",
                [
                    (f"max(reelmill_work_lag{{{one}}})", "events"),
                    (f"max(reelmill_work_oldest_seconds{{{one}}})", "oldest, seconds"),
                ],
            ),
            lines(
                "Tries",
                "Requests to the world a minute, by how they ended. An event has up to three before it is tried again later.",
                [("60 * " + rate(of("reelmill_effect_seconds_count", one), "outcome"), "{{outcome}}")],
                stacked=True,
            ),
            lines(
                "A try takes",
                "Seconds of one request to the world, on average, by how it ended.",
                [(mean(f"reelmill_effect_seconds{{{one}}}", "outcome"), "{{outcome}}")],
                unit="s",
            ),
            lines(
                "Footage",
                "Seconds of footage worked on in a second, by the stages that look at it.",
                [(rate(f"reelmill_media_seconds_total{{{one}}}"), "{{processor}}")],
            ),
            lines(
                "In work by process",
                "Which process does how much at once.",
                [(f"sum by (instance) (reelmill_effects_running{{{one}}})", "{{instance}}")],
                stacked=True,
            ),
            row("Kafka"),
            lines(
                "Messages",
                "Messages a second that its consumer has taken in and its producer has sent. Told every ten seconds.",
                [(rate(of("reelmill_kafka_messages_total", one), "client"), "{{client}}")],
            ),
            lines(
                "Bytes",
                "Bytes a second between its clients and the brokers.",
                [(rate(of("reelmill_kafka_bytes_total", one), "client, direction"), "{{client}} {{direction}}")],
                unit="Bps",
            ),
            lines(
                "Round trip",
                "Seconds to a broker and back, the mean and what 99 of 100 requests took less than. A consumer waits "
                "there for news, up to two seconds: long is right while there is none.",
                [
                    (f"max by (client) (reelmill_kafka_round_trip_seconds{{{one}}})", "{{client}} mean"),
                    (f"max by (client) (reelmill_kafka_round_trip_p99_seconds{{{one}}})", "{{client}} p99"),
                ],
                unit="s",
            ),
            lines(
                "Requests to brokers",
                "Requests a minute, and those that went wrong.",
                [
                    ("60 * " + rate(of("reelmill_kafka_requests_total", one), "client"), "{{client}}"),
                    ("60 * " + rate(of("reelmill_kafka_errors_total", one), "client"), "{{client}} errors"),
                ],
            ),
            lines(
                "Unsent",
                "Messages that wait in its producer. They should be gone with the transaction that they are of.",
                [(f"sum(reelmill_kafka_queued_messages{{{one}}})", "messages")],
            ),
            lines(
                "Brokers",
                "Connections to brokers that work. Without one a consumer is cut off; a producer at rest has none.",
                [(f"sum by (client) (reelmill_kafka_brokers_up{{{one}}})", "{{client}}")],
            ),
        ],
        choose_stage(),
    )


def media():
    seeing = 'processor=~"detect|label"'
    answered, blur = 'outcome="answered"', 'processor="blur"'
    made = "reelmill_frames_total"
    throttled = 'service="detector",outcome="throttled"'
    copied, masked, fates = 'kind="copied"', 'kind="masked"', 'kind=~"encoded|copied"'
    return dashboard(
        "reelmill-media",
        "Media and vision",
        "Frames and footage, and the detector: as its callers see it, and, where it is ours, as it sees itself.",
        [
            stat(
                "Frames a second",
                "Frames encoded or copied into recordings.",
                [(f"sum(rate({of(made, fates)}[{RATE}]))", "frames/s")],
                decimals=1,
                colour="fixed",
            ),
            stat(
                "Copied",
                "The part of all frames that was taken over bit for bit, because nothing on them had to be hidden. "
                "0 where every clip has a face, or the footage cannot be cut without encoding.",
                [(f"({or_none(total(made, copied))}) / {total(made, fates)}", "copied")],
                unit="percentunit",
                colour="fixed",
                max=1,
            ),
            stat(
                "Masked",
                "The part of all frames on which something was hidden.",
                [(f"{total(made, masked)} / {total(made, fates)}", "masked")],
                unit="percentunit",
                colour="fixed",
                max=1,
            ),
            stat(
                "Blur, real time",
                "Seconds of footage that one blur makes in a second: 1 is as fast as the film plays. Several run at once.",
                [
                    (
                        f"{total('reelmill_media_seconds_total', blur)} / {total('reelmill_effect_seconds_sum', f'{blur},{answered}')}",
                        "x",
                    )
                ],
                decimals=2,
                colour="fixed",
            ),
            stat(
                "Detector jobs",
                "Videos the detector is asked about now. AWS's has 20 for an account, ours as well.",
                [(f"sum(reelmill_effects_running{{{seeing}}})", "jobs")],
                decimals=0,
                levels=[(16, YELLOW), (20, RED)],
            ),
            stat(
                "Detector failures",
                "Questions to the detector that must be asked again later, in the time shown.",
                [(or_none(total(EVENTS, f'{seeing},verdict="retried"')), "failures")],
                decimals=0,
                levels=[(1, RED)],
            ),
            lines(
                "Frames", "Frames a second by what was done with them.", [(rate(made, "kind"), "{{kind}}")]
            ),
            lines(
                "Frames by fate",
                "Encoded and copied frames a second: together all that goes into recordings.",
                [(rate(of(made, fates), "kind"), "{{kind}}")],
                stacked=True,
            ),
            lines(
                "Footage",
                "Seconds of footage a second that each stage gets through, all its processes together.",
                [(rate("reelmill_media_seconds_total"), "{{processor}}")],
            ),
            lines(
                "Real-time factor",
                "Seconds of footage for each second of work on them, of one worker: above 1 is faster than the film plays.",
                [
                    (
                        f"{rate('reelmill_media_seconds_total')} / {rate('reelmill_effect_seconds_sum{' + answered + '}')}",
                        "{{processor}}",
                    )
                ],
            ),
            lines(
                "Detector takes",
                "Seconds from a question about a clip to its answer, waiting for its turn included: the mean, and what 95 of 100 take less than.",
                [
                    (mean(f"reelmill_effect_seconds{{{seeing},{answered}}}"), "{{processor}} mean"),
                    (
                        quantile(0.95, f"reelmill_effect_seconds{{{seeing},{answered}}}", "processor"),
                        "{{processor}} p95",
                    ),
                ],
                unit="s",
            ),
            lines(
                "Detector jobs",
                "Clips the detector is asked about at once.",
                [(f"sum by (processor) (reelmill_effects_running{{{seeing}}})", "{{processor}}")],
                stacked=True,
                levels=[(20, RED)],
            ),
            lines(
                "A frame takes",
                "Seconds that our detector needs for a frame, decoding included: the middle of all videos, and what 95 "
                "of 100 take less than. Labels look at one frame of a second, and decode all.",
                [
                    (quantile(0.5, "reelmill_detector_frame_seconds", "look"), "{{look}} median"),
                    (quantile(0.95, "reelmill_detector_frame_seconds", "look"), "{{look}} p95"),
                ],
                unit="s",
            ),
            lines(
                "Our detector's jobs",
                "Videos that our detector looks at, and those that wait for a place. 20 may be open.",
                [("sum by (state) (reelmill_detector_jobs_open)", "{{state}}")],
                stacked=True,
                levels=[(20, RED)],
            ),
            lines(
                "Our detector is done",
                "Videos a minute by how it ended: `refused` cannot be looked at, `failed` is not the video's fault.",
                [("60 * " + rate("reelmill_detector_jobs_total", "look, end"), "{{look}} {{end}}")],
                stacked=True,
            ),
            lines(
                "Detector turns away",
                "Questions a minute that came to a used-up quota: as our detector counts them, and as callers were told, by whomever.",
                [
                    ("60 * " + rate("reelmill_detector_turned_away_total", "quota"), "{{quota}}"),
                    (or_none(f"60 * sum(rate({of('reelmill_requests_total', throttled)}[{RATE}]))"), "callers were told"),
                ],
            ),
            lines(
                "Questions to the detector",
                "Requests a minute to the detector, by what was asked. A job is looked at again and again until it is done.",
                [("60 * " + rate(of("reelmill_requests_total", 'service="detector"'), "operation"), "{{operation}}")],
                stacked=True,
            ),
            table(
                "Models",
                "What our detector looks with. Other weights see other faces.",
                ["count by (model, sha256) (reelmill_detector_model_info)"],
                {"model": "Model", "sha256": "SHA-256", "Value": "Detectors"},
                sort=("model", False),
                overrides=[column("Detectors", decimals=0)],
                width=12,
                height=8,
            ),
            table(
                "Detector failures by reason",
                "What the detector said. `detector_full` is its quota of jobs, `detector_busy` its rate; both wait 30 s and cost no attempt.",
                [total(EVENTS, f"{seeing},{FAILED}", "processor, verdict, reason") + " > 0"],
                {"processor": "Stage", "verdict": "Verdict", "reason": "Reason", "Value": "Times"},
                sort=("Value", True),
                overrides=[column("Times", decimals=0, levels=[(1, RED)])],
                width=12,
                height=8,
                noValue="nothing failed",
            ),
            table(
                "Refused by media stages",
                "Footage that could not be read, rendered or verified, by reason, in the time shown. A recording that "
                "shows a face is refused by verify and not published.",
                [
                    total(
                        EVENTS,
                        'processor=~"cut|blur|stitch|verify|thumbnail",verdict="dead_lettered"',
                        "processor, reason",
                    )
                    + " > 0"
                ],
                {"processor": "Stage", "reason": "Reason", "Value": "Times"},
                sort=("Value", True),
                overrides=[column("Times", decimals=0, levels=[(1, RED)])],
                width=12,
                height=8,
                noValue="nothing refused",
            ),
        ],
    )


def api():
    telling = 'processor=~"catalog|index"'
    return dashboard(
        "reelmill-api",
        "API and search",
        "What people who ask see: does it answer, how fast, and how far behind the work are the catalogue and the search index?",
        [
            stat(
                "Answers",
                "Whether each process answers when asked for its metrics, by job.",
                [(f"min by (job) (up{{{JOBS}}})", "{{job}}")],
                width=8,
                levels=[(None, RED), (1, GREEN)],
                decimals=0,
            ),
            stat(
                "Catalogue behind",
                "Age of the oldest event that the catalogue has not told yet: so old is what GET /api/videos says.",
                [('max(reelmill_work_oldest_seconds{processor="catalog"})', "behind")],
                unit="s",
                levels=[(30, YELLOW), (300, RED)],
            ),
            stat(
                "Search behind",
                "Age of the oldest event that waits to be indexed. A video is indexed when its last clip is looked at.",
                [('max(reelmill_work_oldest_seconds{processor="index"})', "behind")],
                unit="s",
                levels=[(300, YELLOW), (3600, RED)],
            ),
            stat(
                "Indexed",
                "Runs of videos written to the search index in the time shown.",
                [(total(EVENTS, 'processor="index",verdict="emitted"'), "runs")],
                decimals=0,
                colour="fixed",
            ),
            stat(
                "Failures",
                "Writes to catalogue or index that failed in the time shown.",
                [(or_none(total(EVENTS, f"{telling},{FAILED}")), "failures")],
                decimals=0,
                levels=[(1, RED)],
            ),
            lines(
                "Requests",
                "Requests a minute by route. Those of probes and scrapers are not counted.",
                [("60 * " + rate("reelmill_http_requests_total", "route"), "{{route}}")],
                stacked=True,
            ),
            lines(
                "Requests refused or failed",
                "Requests a minute that were answered with an error, by status. 4xx: what was asked is wrong or not ready; 5xx: a service behind the API is away.",
                [
                    (
                        "60 * " + rate(of("reelmill_http_requests_total", 'status=~"4..|5.."'), "route, status"),
                        "{{status}} {{route}}",
                    )
                ],
            ),
            lines(
                "A request takes",
                "Seconds from a request's head to the answer's, in the slowest of twenty, by route. Of a download that is its beginning, of an upload all of it.",
                [(quantile(0.95, "reelmill_http_request_duration_seconds", "route"), "{{route}}")],
                unit="s",
            ),
            lines(
                "Search takes",
                "Seconds of a search: half of them are quicker than the lower line, nineteen of twenty than the upper one.",
                [
                    (quantile(0.5, 'reelmill_http_request_duration_seconds{route="/api/search"}'), "median"),
                    (quantile(0.95, 'reelmill_http_request_duration_seconds{route="/api/search"}'), "p95"),
                ],
                unit="s",
            ),
            lines(
                "Answering",
                "1 while a process answers, 0 while it does not. A gap: nobody knows of it.",
                [(f"up{{{JOBS}}}", "{{job}} {{instance}}")],
                max=1,
            ),
            lines(
                "An answer takes",
                "How long a process takes to hand out its metrics, which no work should hold up.",
                [(f"max by (job, instance) (scrape_duration_seconds{{{JOBS}}})", "{{job}} {{instance}}")],
                unit="s",
            ),
            lines(
                "Facts catalogued",
                "Events a minute that the catalogue has taken in.",
                [("60 * " + rate(of(EVENTS, 'processor="catalog"'), "verdict"), "{{verdict}}")],
                stacked=True,
            ),
            lines(
                "Database takes",
                "Seconds of one write to the catalogue, by how it ended.",
                [
                    (mean('reelmill_effect_seconds{processor="catalog"}', "outcome"), "{{outcome}} mean"),
                    (
                        quantile(0.95, 'reelmill_effect_seconds{processor="catalog"}', "outcome"),
                        "{{outcome}} p95",
                    ),
                ],
                unit="s",
            ),
            lines(
                "Database connections",
                "Connections of all processes to the database, and calls that wait for one.",
                [
                    ("sum by (state) (reelmill_database_connections)", "{{state}}"),
                    ("sum(reelmill_database_waiting)", "waiting"),
                    ("sum(reelmill_database_connections_max)", "most"),
                ],
            ),
            lines(
                "Waiting for a connection",
                "Seconds until a call had its connection and its transaction had begun: the mean, and the slowest of twenty.",
                [
                    (
                        f"sum(rate(reelmill_database_wait_seconds_sum[{RATE}])) / sum(rate(reelmill_database_wait_seconds_count[{RATE}]))",
                        "mean",
                    ),
                    (quantile(0.95, "reelmill_database_wait_seconds"), "p95"),
                ],
                unit="s",
            ),
            lines(
                "What is asked",
                "Requests a second to catalogue and index, by what was asked.",
                [
                    (
                        rate(of("reelmill_requests_total", 'service=~"database|index"'), "service, operation"),
                        "{{service}} {{operation}}",
                    )
                ],
                stacked=True,
            ),
            lines(
                "Runs indexed",
                "Events a minute that the index has dealt with. `skipped`: a part of the video is still missing, which is the rule.",
                [("60 * " + rate(of(EVENTS, 'processor="index"'), "verdict"), "{{verdict}}")],
                stacked=True,
            ),
            lines(
                "Index takes",
                "Seconds to gather a run and write it to the index, by how it ended.",
                [(mean('reelmill_effect_seconds{processor="index"}', "outcome"), "{{outcome}} mean")],
                unit="s",
            ),
            lines(
                "Waiting",
                "Events that wait for the catalogue and for the index.",
                [(f"max by (processor) (reelmill_work_lag{{{telling}}})", "{{processor}}")],
            ),
            table(
                "Failures by reason",
                "Why the catalogue or the index could not be written, in the time shown.",
                [total(EVENTS, f"{telling},{FAILED}", "processor, verdict, reason") + " > 0"],
                {"processor": "Stage", "verdict": "Verdict", "reason": "Reason", "Value": "Times"},
                sort=("Value", True),
                overrides=[column("Times", decimals=0, levels=[(1, RED)])],
                width=12,
                height=8,
                noValue="nothing failed",
            ),
        ],
    )
