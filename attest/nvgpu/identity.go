package nvgpu

// Identity tells the device from every other one, for evidence of several: the
// digest of its own key. It is empty if that is not known.
func (c *Claims) Identity() string {
	if c == nil || c.DeviceKey.IsZero() {
		return ""
	}
	return c.DeviceKey.String()
}
