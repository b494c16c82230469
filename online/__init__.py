"""The online half: ranks for a service, and collects what its users see and do."""
