package catalogue

import "github.com/blindbox/blindbox/attest"

// unavailable returns 3xx: there was nothing to judge.
func unavailable() []Entry {
	return []Entry{
		{
			Number: 301, Codes: []attest.Code{attest.CodeUnavailable},
			Title:   "the box or its evidence could not be had",
			Cause:   "No connection, no answer in time, a question that reached the box too late (it gives TLS and the gate ten seconds), or a machine that cannot produce evidence. Nothing was judged, so nothing speaks against the box either.",
			NotDone: nothingSent,
			Fix:     "Check the address and the network, and try again. `--timeout` bounds the wait. If it is the certificate of the chip that is missing, have the box staple it: `boxd --endorsements-from vendors`.",
			Example: "$ blindbox verify https://whisper.acme.example\nBBX-301 box: the box or its evidence could not be had\n  seen       dial tcp 192.0.2.7:443: connect: connection refused\n  nothing was sent.",
		},
		{
			Number: 302, Codes: []attest.Code{attest.CodeNoCRL},
			Title:   "nothing says whether the keys were revoked",
			Cause:   "The vendor's revocation list was neither stapled by the box nor given with the file, and the trust file says `revocation: require`.",
			NotDone: nothingSent,
			Fix:     "Ask the operator to staple the lists. For a file give them with `--ark-crl` and `--ask-crl`. To accept the gap, write `revocation: allow_missing`; the verdict then shows SKIP.",
			Example: "BBX-302 hardware: nothing says whether the keys were revoked\n  seen       no CRL for ARK-Genoa\n  expected   a CRL that is valid now\n  nothing was sent.",
		},
		{
			Number: 303, Codes: []attest.Code{"not_checked", "not_required"},
			Title:   "a check was skipped",
			Cause:   "There was nothing to compare with (a file has no connection, there is no trust file) or the trust file says any. A skipped check is never a pass: without the essential ones the verdict is PARTIAL, exit code 4.",
			NotDone: "The box was not accepted for sending anything if the skipped check is an essential one.",
			Fix:     "Verify a live box with a trust file. For saved evidence, PARTIAL is as far as it goes; for a receipt or a log, give the evidence for its key with `--bundle`.",
			Example: "$ blindbox verify genoa.report.bin --at 2025-09-15\n...\nPARTIAL\nBBX-303 verdict: a check was skipped\n  seen       not checked: hardware (5 checks), code (measurement), channel (10 checks), policy (digest)",
		},
	}
}

// answers returns 4xx and 5xx: a verified box answered a request with an error.
// The numbers are those of HTTP.
func answers() []Entry {
	return []Entry{
		{
			Number: 400, Codes: []attest.Code{CodeBoxRequest},
			Title:   "the box cannot read the request",
			Cause:   "The request is not valid HTTP, or its body is not what the address expects.",
			NotDone: "The request did not reach a model or the app.",
			Fix:     "Correct the request: the answer's `detail` says what is wrong, and its `fix` what to send instead.",
			Example: problem(400, "the box cannot read the request"),
		},
		{
			Number: 401, Codes: []attest.Code{CodeBoxCaller},
			Title:   "the box does not know the caller",
			Cause:   "No API key, certificate, token or evidence, or one that the box's policy does not accept: its hash is not there, it has expired, it was issued by or for somebody else, it is that of another box. The answer says which.",
			NotDone: "The request did not reach a model or the app.",
			Fix:     "Give the key with `--api-key-file` or BLINDBOX_API_KEY, a certificate with `--cert` and `--key`, a token in the header Authorization of each request. Evidence of your own goes with `--attest`. Callers are fixed in box.yaml; another caller is another policy and another box.",
			Example: problem(401, "the box does not know the caller"),
		},
		{
			Number: 403, Codes: []attest.Code{CodeBoxDenied},
			Title:   "the policy does not allow this",
			Cause:   "The caller is known, but its rule in box.yaml does not cover this action or path.",
			NotDone: "The request did not reach a model or the app.",
			Fix:     "Read the rule: `blindbox curl URL/.well-known/blindbox/policy` prints the box's policy. It cannot be changed in a running box.",
			Example: problem(403, "the policy does not allow this"),
		},
		{
			Number: 404, Codes: []attest.Code{CodeBoxNotFound},
			Title:   "there is nothing at this address",
			Cause:   "The box serves models and the path or the model's name is unknown to it.",
			NotDone: "Nothing was run.",
			Fix:     "List what there is with `blindbox curl URL/v2`.",
			Example: problem(404, "there is nothing at this address"),
		},
		{
			Number: 413, Codes: []attest.Code{CodeBoxTooLarge},
			Title:   "the request is larger than the policy allows",
			Cause:   "The body is over `limits: {request: ...}` of box.yaml: 1 MiB for an app and 20 MiB for models if it is not set. An upload is bounded by `store: {owner: {bytes: ...}}`.",
			NotDone: "The request was cut off; the app did not get all of it.",
			Fix:     "Send less, such as a smaller picture, or have the operator publish a policy with a higher `limits: {request: SIZE}`.",
			Example: problem(413, "the request is larger than the policy allows"),
		},
		{
			Number: 426, Codes: []attest.Code{CodeBoxGate},
			Title:   "the box speaks attested TLS only",
			Cause:   "A web client came to the box's port. The box proves itself before it takes a request, and an ordinary client does not ask for the proof.",
			NotDone: "The request was not read and did not reach a model or the app.",
			Fix:     "Run `blindbox connect URL` and point the client at the local address that it prints.",
			Example: "$ curl -sk https://whisper.acme.example/\n{\"type\":\"about:blank\",\"title\":\"Attested TLS required\",\"status\":426,\"code\":\"BBX-426\",\"detail\":\"...\"}",
		},
		{
			Number: 429, Codes: []attest.Code{CodeBoxBusy},
			Title:   "the box is busy",
			Cause:   "As many requests as `limits: {concurrent: ...}` allows are running, or the places left are kept for callers that have none, or the caller has used up its `rate` or `quota`. The answer says which.",
			NotDone: "The request did not reach a model or the app.",
			Fix:     "Wait as long as the answer's Retry-After says, then send it again.",
			Example: problem(429, "the box is busy"),
		},
		{
			Number: 500, Codes: []attest.Code{CodeAppStatus},
			Title:   "the app answered with an error",
			Cause:   "The request reached the app in the box, and the status of its answer is 400 or higher. With `--fail` that ends the command with an error.",
			NotDone: "Nothing was withheld: the request was sent and the answer printed.",
			Fix:     "Look at the answer, which is the app's own. Without `--fail` any answer counts as success.",
			Example: "$ blindbox curl -f https://whisper.acme.example/none\nBBX-500 app: the app answered with an error\n  seen       404 Not Found\n  expected   a status below 400",
		},
		{
			Number: 501, Codes: []attest.Code{CodeModelRefused},
			Title:   "the box refuses what was asked of its models",
			Cause:   "The box was verified, and answered with an error: there is no such model (404; that of another caller is not told from none), it is another's or the policy does not let you (403), the file is no model that a box can run (422), a quota or the box is full (507), or the moment is bad (429, 503). The answer says which.",
			NotDone: "Nothing was changed in the box, and it keeps nothing of what it refused.",
			Fix:     "Read what the box says. `blindbox model ls` lists the models that you may know of, `blindbox model show NAME` says what one takes, `blindbox model show FILE` whether a box can run a file.",
			Example: "$ blindbox model rm acme~xray\nBBX-501 model: the box refuses what was asked of its models\n  seen       403 Forbidden: acme~xray can be changed by its owner only",
		},
		{
			Number: 502, Codes: []attest.Code{CodeBoxAppDown},
			Title:   "the app in the box does not answer",
			Cause:   "The app has ended, does not listen where the policy says, broke off its answer, took longer than `limits: {time, idle}` allow, or answers with more than `limits: {response}`.",
			NotDone: "There is no answer. The app may have seen part of the request.",
			Fix:     "Ask the operator to look at the box; its logs say nothing about requests.",
			Example: problem(502, "the app in the box does not answer"),
		},
		{
			Number: 503, Codes: []attest.Code{CodeBoxUnavailable},
			Title:   "the box is not ready",
			Cause:   "It is starting or stopping, or cannot have the keys of the identity provider whose token was sent. The answer says which.",
			NotDone: "The request did not reach a model or the app.",
			Fix:     "Try again in a moment.",
			Example: problem(503, "the box is not ready"),
		},
	}
}

const nothingSent = "Nothing was sent: the connection was closed before the first byte of a request."
