// Package appraise answers one question: are these Claims what I accept?
//
// A Verifier has established facts about a machine. This package compares them
// with a trust file (trust.yaml): the reference values its owner accepts, the
// appraisal policy for the hardware, and requirements on the box's own policy.
// The outcome is a [Result] that lists every check as PASS, FAIL or SKIP with
// what was seen and what was expected. Nothing stops at the first failure.
//
// It stands with the relying party and is pure: no clock, no network, no files.
// Whatever it does not know it refuses. A check that could not be made is a
// SKIP, and a SKIP is never a pass: a Result is trusted only if the code, the
// binding to the channel and the policy were looked at and passed.
//
// Only [Trust.Appraise] makes a Result that is trusted. A [Trust] does not
// change after it was made and may be shared between goroutines.
//
// # The trust file
//
// Only version and accept are required. Everything below is an example for
// SEV-SNP; the comments say what holds where a key is left out. Unknown and
// repeated keys, empty lists and values of zeros are errors with a line and
// column. Every other kind of hardware has a section of its own in accept and
// one in hardware; docs/files.md lists their keys.
//
//	version: 1
//	accept:                              # one or more; the code decides which one counts
//	  - name: demo v1
//	    sev-snp: {measurement: 7b3f00000000000000000000000000000000000000000000000000000000000000000000000000000000000000009c1e}
//	    policy: sha256:8a61000000000000000000000000000000000000000000000000000000000000   # of box.yaml, or: any
//	    expires: 2027-01-01              # first day, UTC, on which it is no longer accepted; never
//	hardware:
//	  kinds: [sev-snp]                   # those that an entry of accept has a section for
//	  products: [Genoa, Turin]           # the same; Milan only together with chips
//	  chips: [c10000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000d4]   # any
//	  tcb:                               # the built-in floors, see Floors
//	    Genoa: {bootloader: 10, tee: 0, snp: 27, microcode: 86}
//	    Turin: {fmc: 1, bootloader: 1, tee: 1, snp: 4, microcode: 81}
//	  report_versions: [3, 5]            # the same; 2 does not name its processor
//	  firmware: 1.55.43                  # any: the TCB decides
//	  abi: 1.51                          # of the guest policy; any
//	  vmpl: 0                            # the same; or: any
//	  guest_svn: 0                       # the same; this or higher
//	  smt: forbid                        # allow
//	  guest_policy:                      # allow, and forbid for cxl
//	    single_socket: allow
//	    cxl: forbid
//	    mem_aes_256_xts: allow
//	    rapl_disabled: allow
//	    ciphertext_hiding: allow
//	    page_swap_disabled: allow
//	  tsme: allow                        # of the platform: allow, and require for alias_check
//	  ecc: require
//	  rapl_disabled: allow
//	  ciphertext_hiding: allow
//	  alias_check: require
//	  iommu_write_safe: allow
//	  tio: allow
//	  platform_bits: [8]                 # none besides those with a name
//	  masked_chip: forbid                # the same; allow: the host may hide the chip id
//	  vlek: {csp: ["CN=cc-us-east-2.amazonaws.com"]}   # VLEKs are refused
//	  id_key: [d10000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000001]       # any
//	  author_key: [d20000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000002]   # any
//	  family_id: 01000000000000000000000000000000   # any
//	  image_id: 02000000000000000000000000000000    # any
//	  mitigations: {launch: [0, 1], current: [0, 1, 2]}   # none
//	  revocation: require                # the same; or: allow_missing
//	  crl_max_age: 720h                  # as long as the revocation list itself says
//	allow_simulated: true                # simulated evidence is refused; no other word is accepted
//	simulated_root: sha256:5117000000000000000000000000000000000000000000000000000000000000   # needed with it
//	max_age: 10m                         # the same; 0s: fresh evidence for each connection
//	clock_skew: 1m                       # the same
//	require:                             # of the box's policy
//	  callers: authenticated             # any; or a list, such as [api_key, "oidc:https://login.hospital.example"]
//	  egress: none                       # any; or the most there may be: [api.stripe.com:443, "*.example.com:443"]
//	  operators: none                    # any; or the most they may do: [restart]
//	  isolation: [gvisor]                # any; of gvisor, runc and process
//	  images: [sha256:22f0000000000000000000000000000000000000000000000000000000000000]   # any; of the image manifest
//	  command: [serve, --quiet]          # the image's own; or this one
//	  services: {cache: {command: [redis-server, --save, ""]}}   # their images' own; or these
//	  env: {LANG: C.UTF-8}               # the image's own; and at most these
//	  models: [sha256:11f0000000000000000000000000000000000000000000000000000000000000]   # any
//	  logs: [none, counters]             # any; the word counters means the same
//	  request: 32MiB                     # any; at most this
//	  concurrent: 64                     # any; at most this
//
// Debug and migration have no key: a guest that its host may read or export is
// refused whatever the file says.
package appraise
