// Boxverify is the program that reads the evidence of other boxes that call this
// one. It answers one question, once: is this a box that a line of the policy names?
//
// It is started by boxd, and only if the policy has callers that are `attested`. It
// reads one question from its standard input, writes the answer to its standard
// output, and ends. Before it reads, it gives up everything else: it opens no file
// and no connection and starts nothing, and its memory and time are bounded. It
// has no flags.
//
// It stands inside the box, so that it is measured like everything there, but what
// it is made of (deps.txt) is not what a relying party trusts with data: it never
// sees a request or an answer, nor a key. What it can do is to take somebody for a
// box who is none.
//
// Exit codes: 0 if it answered, 1 if not.
package main

import (
	"os"

	"github.com/blindbox/blindbox/box/peers/judge"
)

func main() { os.Exit(judge.Main(os.Stdin, os.Stdout)) }
