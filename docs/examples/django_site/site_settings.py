"""The settings of a Django site; in your project they are there already."""

SECRET_KEY = "change me"
ALLOWED_HOSTS = ["localhost", "127.0.0.1"]
ROOT_URLCONF = "site_urls"
MIDDLEWARE = ["django.contrib.sessions.middleware.SessionMiddleware"]
SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
DATABASES = {
    "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "site.sqlite3"}
}
