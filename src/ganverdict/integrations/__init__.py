"""The verdict as a callback of training libraries; each module needs its library, an extra."""
