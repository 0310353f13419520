package toy

import (
	"context"
	"testing"
)

func TestCheck(t *testing.T) {
	if Check("sesame") != nil {
		t.Error("sesame is refused")
	}
	if err := Check(""); err == nil || err.Error() != "no word" {
		t.Error("no word is no word")
	}
	if Check("barley") == nil || Check("a word that is far too long") == nil {
		t.Error("another word passes")
	}
}

func TestBox(t *testing.T) {
	if (&box{word}).open("barley") == nil || (&box{}).open(word) == nil || (&box{word}).open(word) != nil {
		t.Error("the box opens for another word")
	}
	if err := new(box).open(""); err == nil || err.Error() != "no box" {
		t.Error("no box has no word")
	}
}

func TestOtherWays(t *testing.T) {
	if Find("") == nil || Admit("") == nil || Why("barley") == "" {
		t.Error("another word passes")
	}
}

func TestVerdicts(t *testing.T) {
	if Verdicts("barley")[0] {
		t.Error("another word passes")
	}
}

func TestKeep(t *testing.T) {
	if Keep("") != errWord || Keep("barley") == nil || Keep(word) != nil {
		t.Error("another word passes")
	}
}

func TestTurns(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if Turns(ctx) != 0 {
		t.Error("it goes on")
	}
}
