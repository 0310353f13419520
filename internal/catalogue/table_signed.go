package catalogue

import "github.com/blindbox/blindbox/attest"

// signed returns 215 to 219: what receipts, audit logs and sealed logs can be
// refused for.
func signed() []Entry {
	return []Entry{
		{
			Number: 215, Codes: []attest.Code{"receipt_malformed", "receipt_signature"},
			Title:   "not a receipt as a box signed it",
			Cause:   "The file was changed or cut off after it was signed, is something else than a receipt, or says the same in another spelling: other order, spaces, escapes.",
			NotDone: "Nothing that the receipt says may be relied on.",
			Fix:     "Get the receipt again from the box, at /.well-known/blindbox/receipts/ID, while it keeps it.",
			Example: "$ blindbox receipt verify receipt.jws\nBBX-215 receipt: not a receipt as a box signed it\n  seen       jws: the signature is not one by the key in the header",
		},
		{
			Number: 216, Codes: []attest.Code{"receipt_not_bound"},
			Title:   "the evidence does not speak of the key that signed this",
			Cause:   "The bundle is of another box, of another run of the box, or of a connection; or the receipt names another policy, evidence or time than the statement in the bundle. Whoever forges a receipt has to sign it with a key of their own.",
			NotDone: "Nothing that was signed with this key may be relied on.",
			Fix:     "Give the evidence that the box had at /.well-known/blindbox/receipts/evidence when it signed; its digest is in the receipt.",
			Example: "$ blindbox receipt verify --bundle other.bundle receipt.jws\nBBX-216 receipt: the evidence does not speak of the key that signed this\n  seen       key 7b3f..9c1e\n  expected   9d00..41aa, as the evidence says",
		},
		{
			Number: 217, Codes: []attest.Code{"receipt_digest"},
			Title:   "the receipt is about another request or answer",
			Cause:   "The digest or the length in the receipt is not that of what you gave, or the receipt says that not all of it had passed when it was signed. A proxy on the way may have changed the bytes; a file may end in a line break that was not sent.",
			NotDone: "The receipt proves nothing about what you gave.",
			Fix:     "Compare with the exact bytes of the body, decompressed no further than they were on the way.",
			Example: "$ blindbox receipt verify --response answer.json receipt.jws\nBBX-217 receipt: the receipt is about another request or answer\n  seen       response sha256:7b3f..9c1e, 120 bytes\n  expected   sha256:9d00..41aa, 121 bytes, what you give",
		},
		{
			Number: 218, Codes: []attest.Code{"audit_broken"},
			Title:   "the audit log is not as the box wrote it",
			Cause:   "A record was changed, left out or put in, the log ends before a record that the box signed, or it is another box's log than the one the receipt is of.",
			NotDone: "Nothing from the named record on may be relied on.",
			Fix:     "Get the log from whoever keeps it, whole. If that is all there is, treat the records from there on as lost or forged.",
			Example: "$ blindbox audit verify audit.log\nBBX-218 audit: the audit log is not as the box wrote it\n  seen       line 7, where record 6 should be: its hash is not that of its text behind the record before",
		},
		{
			Number: 219, Codes: []attest.Code{"sealed_log"},
			Title:   "the sealed log is not as the box sealed it",
			Cause:   "A segment is missing, changed, cut off, out of order or twice, or was sealed by somebody else: everybody who knows the recipient can encrypt to it.",
			NotDone: "Nothing behind the named segment was printed.",
			Fix:     "Give all the segments in the order of their numbers. One that the keeper of the files lost or withheld cannot be made up for.",
			Example: "$ blindbox logs --identity key.txt log-00000000.age log-00000002.age\nBBX-219 logs: the sealed log is not as the box sealed it\n  seen       log-00000002.age: seal: segment 1 is missing, the next here is 2",
		},
	}
}
