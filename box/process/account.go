package process

import "fmt"

// Account is the user and group that an app runs as, with no further groups
// and no way back: the app can gain no privilege by running another program.
// Whatever only root may open on the machine, the evidence device first of
// all, is out of its reach then.
type Account struct {
	UID, GID uint32
}

// validate refuses an account that keeps nothing from the app.
func (a *Account) validate() error {
	if a != nil && (a.UID == 0 || a.GID == 0) {
		return fmt.Errorf("process: an app account of uid %d, gid %d: root is no account for an app", a.UID, a.GID)
	}
	return nil
}
