package sandbox_test

import (
	"os"
	"testing"

	"github.com/blindbox/blindbox/box/sandbox"
)

// underGVisor has an app run by gVisor.
func underGVisor(t testing.TB, cfg sandbox.Config) sandbox.Config {
	t.Helper()
	cfg.Runtime = os.Getenv("BLINDBOX_RUNSC")
	if cfg.Runtime == "" {
		t.Skip("SKIP: no runsc in BLINDBOX_RUNSC (`make test` builds it)")
	}
	cfg.GVisor = true
	return cfg
}

// underBoth runs a test with runc, then with gVisor.
func underBoth(t *testing.T, test func(*testing.T, sandbox.Config)) {
	t.Run("runc", func(t *testing.T) { test(t, config(t)) })
	t.Run("gvisor", func(t *testing.T) { test(t, underGVisor(t, config(t))) })
}
