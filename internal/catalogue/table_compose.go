package catalogue

import "github.com/blindbox/blindbox/attest"

// CodeCompose is the code of a Compose file that is no policy's.
const CodeCompose attest.Code = "compose"

// compose is what can be wrong with a Compose file.
func compose() Entry {
	return Entry{
		Number: 121, Codes: []attest.Code{CodeCompose},
		Title:   "the Compose file asks for what a box does not do",
		Cause:   "A key that joins a service with the machine (a bind mount, the host's network, a device, privileged), something that is only known where the file is run (build, secrets, another file, a variable without a value), or an order that cannot be kept. Leaving it out would make another program of it, so that nothing was left out.",
		NotDone: "No policy was written.",
		Fix:     "Change the lines that are named, or say with --app, --listen and --env what the file leaves open.",
		Example: "$ blindbox compose compose.yaml\nBBX-121 compose: the Compose file asks for what a box does not do\n  seen       line 6: services.web.privileged: it would give the service more of the machine than its own; take the line out\n  No policy was written.",
	}
}
