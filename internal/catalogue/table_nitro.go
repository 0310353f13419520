package catalogue

import "github.com/blindbox/blindbox/attest"

// nitro are about AWS Nitro Enclaves. Their codes are declared by attest/nitro
// and appraise.
func nitro() []Entry {
	return []Entry{
		{
			Number: 280, Codes: []attest.Code{"module_mismatch"},
			Title:   "the certificate was issued for another enclave",
			Cause:   "AWS issues a certificate for each enclave and writes the enclave's name into it. The document names another enclave than the certificate that came with it.",
			NotDone: nothingSent,
			Fix:     "Treat the evidence as forged: the Nitro system does not write such documents.",
			Example: "BBX-280 hardware: the certificate was issued for another enclave\n  seen       \"i-0a1b2c3d4e5f60718-enc019b55a68bd2ed4c\"\n  expected   that of the certificate, \"i-0a1b2c3d4e5f60718-enc019b55a68bd2ed4b.us-east-1.aws\"\n  nothing was sent.",
		},
		{
			Number: 281, Codes: []attest.Code{"instance_not_allowed"},
			Title:   "the enclave belongs to an EC2 instance that you do not list",
			Cause:   "The trust file lists the instances whose enclaves it accepts, and this enclave runs beside another one. Instance ids change whenever a machine is replaced.",
			NotDone: nothingSent,
			Fix:     "If the operator has moved to a new instance, add its id to `hardware: {nitro: {instances: [...]}}`.",
			Example: "BBX-281 hardware: the enclave belongs to an EC2 instance that you do not list\n  seen       i-0a1b2c3d4e5f60718\n  expected   i-00000000000000001\n  nothing was sent.",
		},
		{
			Number: 282, Codes: []attest.Code{"public_key_missing"},
			Title:   "the enclave's document has no public key, or has one",
			Cause:   "The trust file says `public_key: require` or `public_key: forbid` for Nitro Enclaves, and the attestation document is otherwise.",
			NotDone: nothingSent,
			Fix:     "A box of this project puts no key there: what it is bound to is in the statement. Take `public_key` out of the trust file unless another program's enclave is meant.",
			Example: "BBX-282 hardware: the enclave's document has no public key, or has one\n  seen       off\n  expected   on\n  nothing was sent.",
		},
	}
}
