package catalogue

import "github.com/blindbox/blindbox/attest"

// endorsed returns 289: a vendor's object is genuine and refused all the same.
// The code is declared by package endorse.
func endorsed() []Entry {
	return []Entry{
		{
			Number: 289, Codes: []attest.Code{"crl_rollback", "tcb_rollback"},
			Title:   "a revocation list or TCB data older than seen before",
			Cause:   "The vendor has replaced it, and this machine has seen the newer one. It may still be in force by its dates; showing it is how a new withdrawal is hidden. An older list is accepted as long as it withdraws the same as the newest that was seen. With Intel's TCB data there is a harmless cause as well: two sets are in force, and a box that staples the early one makes the standard one look old.",
			NotDone: nothingSent,
			Fix:     "Have the box or the mirror fetch again: `blindbox endorsements fetch`. Boxes that are verified from one place should all staple the same set of Intel's.",
			Example: "BBX-289 hardware: a revocation list or TCB data older than seen before\n  seen       CRL of ARK-Genoa (vcek) number 8\n  expected   number 9 or higher, which was seen before, or a list that withdraws the same certificates",
		},
	}
}

// vendors returns 306 to 308: a vendor's server, or a mirror, gave nothing that
// fits what was asked for.
func vendors() []Entry {
	return []Entry{
		{
			Number: 306, Codes: []attest.Code{"collateral_unavailable"},
			Title:   "a vendor's server did not give what was asked for",
			Cause:   "No connection, no answer in time, 429 (too many requests), 5xx (down) or 404 (not there). It was asked again where that helps, for 15 seconds in all unless `--timeout` says otherwise.",
			NotDone: "Nothing was fetched or replaced. What is in the cache and in force is still used.",
			Fix:     "Try again later, or use a mirror: another machine that has a network fills a cache and serves it with `blindbox endorsements serve`. `--endorsements-from` names it. Vendors bound how often one address may ask (AMD: one certificate of a chip in about 10 seconds). 404 means that the vendor has nothing for what the evidence names: this processor at this TCB, or this version of a driver.",
			Example: "$ blindbox endorsements fetch genoa.report.bin\nBBX-306 endorsements: a vendor's server did not give what was asked for\n  seen       kdsintf.amd.com: 429 Too Many Requests, asks to wait 30s and there are 15s left\n  expected   VCEK of Genoa chip 0102abcd..",
		},
		{
			Number: 307, Codes: []attest.Code{"collateral_bad"},
			Title:   "what answered cannot be the vendor's server",
			Cause:   "A redirect, a web page, an answer larger than any such object, or bytes of another form: a proxy, a login page or a wrong mirror answers in the vendor's place. Redirects are not followed.",
			NotDone: "Nothing was fetched or replaced. What is in the cache and in force is still used.",
			Fix:     "Take away what is in between, or use a mirror. `--endorsements-from` names it.",
			Example: "BBX-307 endorsements: what answered cannot be the vendor's server\n  seen       kdsintf.amd.com: a web page (text/html)\n  expected   CRL of ARK-Genoa (vcek)",
		},
		{
			Number: 308, Codes: []attest.Code{"wrong_collateral"},
			Title:   "a vendor's object, but not the one that was asked for",
			Cause:   "The server answered with a genuine certificate, list or TCB data for another chip, TCB, platform type or issuer. A mirror that mixes them up does this.",
			NotDone: "It was not kept.",
			Fix:     "Leave out `--endorsements-from`, or fill the mirror anew.",
			Example: "BBX-308 endorsements: a vendor's object, but not the one that was asked for\n  seen       certificate of Genoa chip ab12cd34.. at TCB 10/0/24/85\n  expected   VCEK of Genoa chip 0102abcd..",
		},
	}
}
